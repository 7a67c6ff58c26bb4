"""Local steps: all or nothing in one append, and decided on what the participants' streams hold."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from msgspec.structs import replace

from sagaledger.domain.event import Event
from sagaledger.domain.participant import Command, Participant, Refused
from sagaledger.domain.saga.events import StepStarted
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import Status
from sagaledger.domain.saga.step import StepContext
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall
from sagaledger.infrastructure.event_store.codec import UnreadableEvent
from sagaledger.infrastructure.event_store.event_row import STATE_BYTES_MAX
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.append_builder import STEP_BYTES_MAX, STEP_EVENTS_MAX
from sagaledger.infrastructure.ledger.ledger import Ledger

from .conftest import OpenLedger, in_short, play, short_history, worker_on
from .goods import FILLING, SHELF, TAKING, Fill, PiecesTaken, ShelfFoundShort, Take, goods_app


def _pieces(ledger: Ledger, name: str) -> int:
    """Returns the pieces on a shelf by its whole stream; checks that they were never negative."""
    pieces = 0
    for row in ledger.backend.stream(f"shelf-{name}"):
        pieces = SHELF.evolve(pieces, ledger.context.codec.decode(row).event)
        assert pieces >= 0
    return pieces


def test_a_steps_start_its_events_and_its_success_are_one_append(open_ledger: OpenLedger) -> None:
    """No reader ever sees a local step that was started and has no outcome."""
    ledger = open_ledger(goods_app())

    async def scene() -> None:
        async with worker_on(ledger) as worker:
            await worker.outcome((await worker.start(FILLING, [Fill("a", 5), Fill("b", 7)], key="1")).saga_id)

    play(scene())
    appended = {link.last_position: link.first_position for link in ledger.backend.appends(0, limit=100)}
    recorded = ledger.history("filling-1")
    step = [r.position for r in recorded if in_short(r.event) != "SagaStarted"]
    ((first, last),) = [(first, last) for last, first in appended.items() if first <= step[0] <= last]
    assert [in_short(r.event) for r in recorded if first <= r.position <= last][-5:] == [
        "fill started", "ShelfFilled", "ShelfFilled", "fill succeeded", "SagaCompleted",
    ]  # fmt: skip


def test_a_refusal_leaves_its_facts_and_nothing_else_of_the_step(open_ledger: OpenLedger) -> None:
    """The pieces that the step would have taken from another shelf stay there."""
    ledger = open_ledger(goods_app())

    async def scene() -> Status:
        async with worker_on(ledger) as worker:
            await worker.outcome((await worker.start(FILLING, [Fill("a", 5), Fill("b", 1)])).saga_id)
            saga = await worker.start(TAKING, [Take("a", 5), Take("b", 2)], key="1")
            return (await worker.outcome(saga.saga_id)).status

    assert play(scene()) is Status.COMPENSATED
    assert _pieces(ledger, "a") == 5
    assert [in_short(r.event) for r in ledger.history("taking-1")] == [
        "SagaStarted", "take started", "ShelfFoundShort", "take failed", "SagaCompensated",
    ]  # fmt: skip


def test_a_thousand_sagas_on_one_shelf_are_decided_in_turn(open_ledger: OpenLedger) -> None:
    """Exactly as many get a piece as there are, and none needs a second attempt."""
    ledger = open_ledger(goods_app())

    async def scene() -> Counter[Status]:
        async with worker_on(ledger) as worker:
            await worker.outcome((await worker.start(FILLING, [Fill("hot", 600)])).saga_id)

            async def take(number: int) -> Status:
                saga = await worker.start(TAKING, [Take("hot", 1, quietly=number % 2 == 0)], key=str(number))
                return (await worker.outcome(saga.saga_id)).status

            return Counter(await asyncio.gather(*(take(number) for number in range(1000))))

    assert play(scene()) == {Status.COMPLETED: 600, Status.COMPENSATED: 400}
    assert _pieces(ledger, "hot") == 0
    begun = [ledger.context.codec.decode(row) for row in ledger.backend.read(0, limit=10_000, topics=["StepStarted"])]
    assert {recorded.event.attempt for recorded in begun if isinstance(recorded.event, StepStarted)} == {1}


def _write_elsewhere(ledger: Ledger, command: Fill | Take) -> None:
    """Write to a shelf as a worker of another process would."""
    end = len(ledger.backend.stream(f"shelf-{command.shelf}"))
    (recorded,) = SHELF.decide(_pieces(ledger, command.shelf), command, datetime.now(UTC))
    new = ledger.context.codec.encode(f"shelf-{command.shelf}", end + 1, recorded)
    ledger.backend.append(AppendCall(uuid4(), [Append([new])]))


@pytest.mark.parametrize("quietly", [False, True])
@pytest.mark.parametrize("change", [Fill("a", 10), Take("a", 10)])
def test_what_another_process_wrote_counts_in_every_decision(
    open_ledger: OpenLedger, change: Fill | Take, quietly: bool
) -> None:
    """Decided together against a cache that is behind another writer, no piece is refused or given away wrongly."""
    ledger, elsewhere = open_ledger(goods_app()), open_ledger(goods_app())

    async def scene() -> Counter[Status]:
        async with worker_on(ledger) as worker:
            await worker.outcome((await worker.start(FILLING, [Fill("a", 10)], key="1")).saga_id)
            _write_elsewhere(elsewhere, change)
            takes = [Take("a", 3, quietly)]
            sagas = await asyncio.gather(*(worker.start(TAKING, takes, key=str(number)) for number in range(7)))
            return Counter([(await worker.outcome(saga.saga_id)).status for saga in sagas])

    served = 6 if isinstance(change, Fill) else 0
    assert play(scene()) == Counter({Status.COMPLETED: served, Status.COMPENSATED: 7 - served})
    assert _pieces(ledger, "a") == (2 if isinstance(change, Fill) else 0)


def test_a_step_that_raises_is_tried_again_and_rolled_back(open_ledger: OpenLedger) -> None:
    """An exception other than a refusal is a failed attempt that leaves no participant's event."""
    saga = Saga("clumsy", input=int)

    @saga.local_step(retry=Retry(attempts=2, backoff_seconds=0.0), compensable=False)
    def fill(_: int, ctx: StepContext) -> list[Command]:
        if ctx.attempt == 1:
            raise ZeroDivisionError("dropped it")
        return [Fill("a", 1)]

    ledger = open_ledger(App(sagas=[saga], participants=[SHELF]))

    async def scene() -> Status:
        async with worker_on(ledger) as worker:
            return (await worker.outcome((await worker.start(saga, 1, key="1")).saga_id)).status

    assert play(scene()) is Status.COMPLETED
    assert short_history(ledger, "clumsy-1")[1:-1] == ["fill started", "fill failed", "fill started", "fill succeeded"]


def test_a_step_that_records_too_much_fails_and_the_others_go_on(open_ledger: OpenLedger) -> None:
    """No step can make the worker exceed the limits of one append call."""
    ledger = open_ledger(goods_app())

    async def scene() -> list[Status]:
        async with worker_on(ledger) as worker:
            much = await worker.start(FILLING, [Fill("a", 1)] * (STEP_EVENTS_MAX + 1), key="much")
            most = [await worker.start(FILLING, [Fill("b", 1)] * STEP_EVENTS_MAX, key=str(n)) for n in range(8)]
            return [(await worker.outcome(saga.saga_id)).status for saga in (much, *most)]

    assert play(scene()) == [Status.COMPENSATED] + [Status.COMPLETED] * 8
    assert (_pieces(ledger, "a"), _pieces(ledger, "b")) == (0, 8 * STEP_EVENTS_MAX)


def test_a_step_that_records_too_many_bytes_fails(open_ledger: OpenLedger) -> None:
    """Each of its events could be stored, and all of them together are too much for one append call."""

    def decide(_: int, take: Take, at: datetime) -> Sequence[Event]:
        return [PiecesTaken(at, "a" * (STATE_BYTES_MAX - 1_000), take.pieces)] * (STEP_BYTES_MAX // STATE_BYTES_MAX + 1)

    wordy = Participant(
        "wordy",
        initial=0,
        state_type=int,
        events=(PiecesTaken,),
        commands={Take: lambda take: str(take.shelf)},
        decide=decide,
        evolve=lambda pieces, _: pieces,
    )
    ledger = open_ledger(App(sagas=[TAKING], participants=[wordy]))

    async def scene() -> str | None:
        async with worker_on(ledger) as worker:
            return (await worker.outcome((await worker.start(TAKING, [Take("a", 1)])).saga_id)).cause

    assert play(scene()) == "step take failed (PayloadTooLarge)"
    assert not ledger.backend.stream("wordy-a")


def test_a_refusal_is_recorded_whole_or_not_at_all(open_ledger: OpenLedger) -> None:
    """Of two events the second is too large to be stored: the first one is not stored alone."""

    def refuse(_: int, take: Take, at: datetime) -> Sequence[Event]:
        too_large = ShelfFoundShort(at, take.shelf * STATE_BYTES_MAX, take.pieces)
        raise Refused("no", ShelfFoundShort(at, take.shelf, take.pieces), too_large)

    strict = Participant(
        "strict",
        initial=0,
        state_type=int,
        events=(ShelfFoundShort,),
        commands={Take: lambda take: str(take.shelf)},
        decide=refuse,
        evolve=lambda pieces, _: pieces,
    )
    ledger = open_ledger(App(sagas=[TAKING], participants=[strict]))

    async def scene() -> str | None:
        async with worker_on(ledger) as worker:
            return (await worker.outcome((await worker.start(TAKING, [Take("a", 1)])).saga_id)).cause

    assert play(scene()) == "step take failed (PayloadTooLarge)"
    assert not ledger.backend.stream("strict-a")


@pytest.mark.parametrize("moment", ["completed", "compensated"])
def test_a_refusal_at_the_end_waits_for_a_person(open_ledger: OpenLedger, moment: str) -> None:
    """The closing commands can be retried after a person has removed the cause."""
    saga = Saga("farewell", input=bool)

    @saga.local_step(compensable=False)
    def act(agreeable: bool, _: StepContext) -> list[Command]:
        if not agreeable:
            raise Refused("no")
        return []

    saga.on_completed(lambda _: [Take("gift", 1)])
    saga.on_compensated(lambda _, __: [Take("gift", 1)])
    ledger = open_ledger(App(sagas=[saga, FILLING], participants=[SHELF]))

    async def scene() -> list[Status]:
        async with worker_on(ledger) as worker:
            saga_id = (await worker.start(saga, moment == "completed", key="1")).saga_id
            seen = [(await worker.outcome(saga_id)).status]
            await worker.outcome((await worker.start(FILLING, [Fill("gift", 1)])).saga_id)
            await asyncio.to_thread(ledger.intervene, saga_id, "retry", actor="ann", reason="filled the shelf")
            seen.append((await worker.outcome(saga_id)).status)
            return seen

    assert play(scene()) == [Status.NEEDS_INTERVENTION, Status(moment)]
    assert _pieces(ledger, "gift") == 0
    assert short_history(ledger, "farewell-1")[-3:] == [
        f"on_{moment} needs a person", f"on_{moment} resolved", f"Saga{moment.capitalize()}",
    ]  # fmt: skip


def test_a_shelf_that_cannot_be_read_leaves_who_needs_it_to_other_workers(open_ledger: OpenLedger) -> None:
    """An unknown event in a participant's stream turns no saga back: newer workers know it; other sagas go on."""
    ledger = open_ledger(goods_app())
    good = SHELF.decide(0, Fill("bad", 1), datetime.now(UTC))[0]
    unknown = replace(ledger.context.codec.encode("shelf-bad", 1, good), topic="ShelfPainted")
    ledger.backend.append(AppendCall(uuid4(), [Append([unknown])]))

    async def scene() -> str:
        async with worker_on(ledger) as worker:
            taking = await worker.start(TAKING, [Take("bad", 1)])
            filling = await worker.start(FILLING, [Fill("fine", 1)])
            with pytest.raises(UnreadableEvent, match="ShelfPainted"):
                await worker.outcome(taking.saga_id)
            assert (await worker.outcome(filling.saga_id)).status is Status.COMPLETED
            return taking.saga_id

    left = play(scene())
    assert short_history(ledger, left) == ["SagaStarted"]
    assert [(entry.saga_id, entry.worker_id) for entry in ledger.backend.entries()] == [(left, None)]


def test_a_long_stream_is_read_from_its_snapshot(open_ledger: OpenLedger) -> None:
    """After many events a snapshot is kept; a new worker reads on from it, and ignores one that it cannot read."""
    ledger = open_ledger(goods_app())

    async def scene(key: str) -> None:
        async with worker_on(ledger) as worker:
            await worker.outcome((await worker.start(FILLING, [Fill("a", 1)] * 600, key=key)).saga_id)

    play(scene("1"))
    play(scene("2"))
    (snapshot,) = ledger.backend.snapshots(["shelf-a"])
    assert (snapshot.version, snapshot.state) == (1200, b"1200")

    ledger.backend.put_snapshots([snapshot._replace(version=1201, state=b'"broken"')])
    play(scene("3"))
    assert _pieces(ledger, "a") == 1800
