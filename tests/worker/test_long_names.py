"""The longest names and keys that are allowed work everywhere: in ids, in indexes, in views, in sub-sagas' ids."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from random import Random
from typing import Any

from sagaledger import App, Command, Event, Participant, Saga, Status, StepContext, Worker, event
from sagaledger.domain.names import PREFIX_BYTES_MAX, STORED_NAME_CHARACTERS_MAX
from sagaledger.domain.saga.validation import NAME_CHARACTERS_MAX
from sagaledger.infrastructure.ledger.saga_start import KEY_CHARACTERS_MAX
from sagaledger.infrastructure.ledger.verification import verify_ledger

from .conftest import OpenLedger, play, until


def longest(characters: int, seed: int) -> str:
    """A text of characters that take four bytes each, and that no index compresses."""
    random = Random(seed)  # noqa: S311 -- the same text each time
    return "".join(chr(0x20000 + random.randrange(40_000)) for _ in range(characters))


KEY = longest(KEY_CHARACTERS_MAX, 1)
PREFIXES = [longest(PREFIX_BYTES_MAX // 4, seed) for seed in range(2, 6)]
NAMES = [longest(NAME_CHARACTERS_MAX, seed) for seed in range(10, 20)]


@event(longest(STORED_NAME_CHARACTERS_MAX, 20))
class Noted(Event, frozen=True):
    """A participant was told something."""


class Note(Command, frozen=True):
    """Tell a participant something."""

    key: str


def test_the_longest_names_and_keys_work_everywhere(open_ledger: OpenLedger) -> None:
    """A saga with a sub-saga of a sub-saga, a signal and a participant."""
    leaf, middle, root = (Saga(prefix, input=str, key=lambda key: key) for prefix in PREFIXES[:3])

    @leaf.local_step(name=NAMES[0], compensable=False)
    def note(key: str, _: StepContext) -> Sequence[Command]:
        return [Note(key)]

    @middle.sub_saga(leaf, name=NAMES[1], compensable=False)
    def inner(key: str, _: StepContext) -> str:
        return key

    @root.sub_saga(middle, name=NAMES[2], compensable=False)
    def outer(key: str, _: StepContext) -> str:
        return key

    root.wait_for(NAMES[3], signal=NAMES[4])
    notes: Participant[Any] = Participant(
        PREFIXES[3],
        initial=0,
        state_type=int,
        events=[Noted],
        commands={Note: lambda note: note.key},
        decide=lambda _, __, at: [Noted(at)],
        evolve=lambda count, _: count + 1,
    )
    ledger = open_ledger(App(sagas=[root], participants=[notes]))

    async def scene() -> Status:
        async with Worker(ledger) as worker:
            saga_id = (await worker.start(root, KEY, actor=NAMES[5])).saga_id
            await until(lambda: ledger.state(saga_id).step(NAMES[2]).forward.finished)
            await asyncio.to_thread(ledger.signal, saga_id, NAMES[4], 1, actor=NAMES[5], reason=NAMES[6])
            status = (await worker.outcome(saga_id)).status
            position = ledger.history(saga_id)[-1].position
            steps = ledger.query("saga_steps", where={"saga_id": saga_id}, wait_for=position).rows
            assert {row["step"] for row in steps} == set(NAMES[2:4])
            return status

    assert play(scene()) is Status.COMPLETED
    assert ledger.query("sagas", where={"status": "completed"}).rows[0]["definition"] in PREFIXES
    assert len(ledger.query("sagas").rows) == 3
    assert verify_ledger(ledger.context, expect=None, progress=lambda _: nullcontext(lambda *_: None)).problems == []
