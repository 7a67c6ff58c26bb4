"""When the database rejects a batch, the transition that causes it is found, and the others are written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from sagaledger.domain.errors import InvalidInput
from sagaledger.domain.recorded_event import Meta
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState
from sagaledger.infrastructure.errors import DamagedLedger
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall, Appended, Receipt
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.saga_start import SagaStart
from sagaledger.infrastructure.ledger.stream_cache import StreamCache
from sagaledger.infrastructure.worker.group_commit.in_flight import InFlightBatch, Rejected
from sagaledger.infrastructure.worker.group_commit.transition import Transition
from sagaledger.infrastructure.worker.held_sagas import HeldSaga

from ..edits import edit_openly
from .conftest import OpenLedger, play, worker_on
from .goods import FILLING, TAKING, Fill, ShelfFilled, Take, goods_app


class Log:
    """A ledger's log that calls a function once it has rejected a call of one append."""

    def __init__(self, log: Backend, rejected: Callable[[], object]) -> None:
        self._log = log
        self._rejected = rejected

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, call: AppendCall) -> Receipt:
        try:
            return self._log.append(call)
        except InvalidInput:
            if len(call.appends) == 1:
                self._rejected()
            raise


class Drafts:
    """Transitions that each start a saga and perform its first local step, in one batch."""

    def __init__(self, ledger: Ledger) -> None:
        self._cache = StreamCache(ledger.app, ledger.backend, ledger.context.codec)

    def add(self, saga: Saga[Any], value: object, key: str) -> Transition:
        saga_start = SagaStart.of(saga.definition, value, key)
        held = HeldSaga(saga_start.saga_id, saga.definition, SagaState(saga_start.saga_id), None)
        held.saga_start = saga_start

        def build() -> Transition:
            append = self._cache.draft(held.saga_id, Meta())
            now = datetime.now(UTC)
            transition = Transition(held, held.definition, held.state, append, "w", now, draining=False).build()
            self._cache.stage(append.overlay)
            return transition

        [transition] = self._cache.build([build])
        return transition


def spoil(transition: Transition) -> Transition:
    """Put a value into its first event that no database stores."""
    events = transition.draft.events
    events[0] = replace(events[0], meta="\ud800")
    return transition


def test_what_rests_on_a_rejected_transition_is_not_written(open_ledger: OpenLedger) -> None:
    """Another process writes at the version of the rejected events: the log would take what was decided on those."""
    ledger, elsewhere = open_ledger(goods_app()), open_ledger(goods_app())
    drafts = Drafts(ledger)
    bad = spoil(drafts.add(FILLING, [Fill("a", 5)], "bad"))
    resting = drafts.add(TAKING, [Take("a", 5)], "resting")
    other = drafts.add(FILLING, [Fill("b", 1)], "other")
    filled = elsewhere.context.codec.encode("shelf-a", 1, ShelfFilled(datetime.now(UTC), "a", 1))
    log = Log(ledger.backend, lambda: elsewhere.backend.append(AppendCall(uuid4(), [Append([filled])])))
    token = ledger.backend.register(host="h", pid=1, lease_seconds=60.0)

    answered = InFlightBatch(log, token, [bad, resting, other], set()).outcomes()  # type: ignore[arg-type]

    outcomes = {transition.saga.saga_id: outcome for transition, outcome in answered}
    assert isinstance(outcomes["filling-bad"], Rejected)
    assert isinstance(outcomes["filling-bad"].error, InvalidInput)
    assert outcomes["taking-resting"] == Rejected(None)
    assert isinstance(outcomes["filling-other"], Appended)
    assert [row.topic for row in ledger.backend.stream("shelf-a")] == ["ShelfFilled"]
    assert ledger.backend.stream("taking-resting") == []


def test_however_many_are_rejected_the_others_are_written(open_ledger: OpenLedger) -> None:
    """Each half is appended by itself, until every transition has its outcome."""
    ledger = open_ledger(goods_app())
    drafts = Drafts(ledger)
    batch = [drafts.add(FILLING, [Fill(f"{number}", 1)], f"{number}") for number in range(9)]
    for number in (0, 3, 4, 8):
        spoil(batch[number])
    token = ledger.backend.register(host="h", pid=1, lease_seconds=60.0)

    answered = InFlightBatch(ledger.backend, token, batch, set()).outcomes()

    assert [transition for transition, _ in answered] == batch
    rejected = [number for number, (_, outcome) in enumerate(answered) if isinstance(outcome, Rejected)]
    assert rejected == [0, 3, 4, 8]
    written = [number for number in range(9) if ledger.backend.stream(f"filling-{number}")]
    assert written == [1, 2, 5, 6, 7]


NO_EVENT = "BEGIN RAISE EXCEPTION 'no event' USING ERRCODE = 'restrict_violation'; END"
REFUSALS = {
    "sqlite": ["CREATE TRIGGER refuse BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no event'); END"],
    "postgresql": [
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $${NO_EVENT}$$",
        "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
}


def test_a_database_that_takes_nothing_ends_the_worker(open_ledger: OpenLedger) -> None:
    """Not even that a saga needs a person can be written: no saga is the reason, and trying again does not help."""
    ledger = open_ledger(goods_app())
    ledger.start(FILLING, [Fill("a", 1)], key="1")
    url = ledger.backend.url
    edit_openly(url, *REFUSALS[url.partition(":")[0]])

    async def scene() -> None:
        async with worker_on(ledger) as worker:
            await worker.run_until(asyncio.Event())

    with pytest.raises(DamagedLedger, match="no event"):
        play(scene())
    assert ledger.state("filling-1").version == 1
