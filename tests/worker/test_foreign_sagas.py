"""A saga that somebody else started is never taken for a sub-saga, whatever its id."""

from __future__ import annotations

import asyncio

import pytest

from sagaledger import App, Ledger, Saga, Status, StepContext
from sagaledger.domain.saga.state import SagaState

from .conftest import OpenLedger, play, short_history, until, worker_on


def sagas(step: str = "stay") -> tuple[Saga[int], Saga[int]]:
    """A trip with a sub-saga, which waits for a signal."""
    hotel, trip = Saga("hotel", input=int), Saga("trip", input=int)
    hotel.wait_for("word")
    trip.step(name="flight")(lambda *_: None).compensation(lambda *_: None)

    @trip.sub_saga(hotel, name=step)
    def stay(number: int, _: StepContext) -> int:
        return number

    stay.compensation(lambda *_: None)
    return trip, hotel


def outcome(ledger: Ledger, saga_id: str) -> SagaState:
    """Work until a saga has ended or needs a person."""

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            return await worker.outcome(saga_id)

    return play(scene())


@pytest.mark.parametrize("value", [1, 2])
@pytest.mark.parametrize("ended", [False, True])
def test_a_saga_started_by_hand_parks_the_step_that_would_start_it(
    open_ledger: OpenLedger, value: int, ended: bool
) -> None:
    """Whether it has the same input or not; it goes on undisturbed, and a person decides about the step."""
    trip, hotel = sagas()
    ledger = open_ledger(App(sagas=[trip, hotel]))
    ledger.start(hotel, value, key="trip-1.stay")
    if ended:
        ledger.signal("hotel-trip-1.stay", "word", actor="ann")
        outcome(ledger, "hotel-trip-1.stay")
    before = short_history(ledger, "hotel-trip-1.stay")
    ledger.start(trip, 1, key="1")

    state = outcome(ledger, "trip-1")

    [intervention] = state.interventions
    assert intervention.step == "stay"
    assert "saga 'hotel-trip-1.stay' was not started by saga 'trip-1'" in intervention.cause
    assert {recorded.stream_id for recorded in ledger.history("trip-1")} == {"trip-1"}

    ledger.intervene("trip-1", "retry", actor="ann", reason="it may be gone")
    assert outcome(ledger, "trip-1").interventions == state.interventions

    ledger.cancel("trip-1", actor="ann", reason="no time")
    ledger.intervene("trip-1", "skip", actor="ann", reason="there is no hotel")
    assert outcome(ledger, "trip-1").status is Status.COMPENSATED
    assert "CancelRequested" not in short_history(ledger, "hotel-trip-1.stay")
    assert len(short_history(ledger, "hotel-trip-1.stay")) >= len(before)


def test_a_saga_that_appears_before_the_start_is_written_is_a_conflict_once(open_ledger: OpenLedger) -> None:
    """The worker finds it twice, when its start is answered and when it looks again: one person is asked once."""
    hotel, trip = Saga("hotel", input=int), Saga("trip", input=int)
    hotel.wait_for("word")

    @trip.sub_saga(hotel, compensable=False)
    def stay(number: int, _: StepContext) -> int:
        elsewhere.start(hotel, 2, key="trip-1.stay")
        return number

    ledger, elsewhere = open_ledger(App(sagas=[trip, hotel])), open_ledger(App(sagas=[trip, hotel]))
    ledger.start(trip, 1, key="1")

    assert [intervention.step for intervention in outcome(ledger, "trip-1").interventions] == ["stay"]


def test_a_step_that_is_parked_is_not_parked_again(open_ledger: OpenLedger) -> None:
    """Its saga is held and looked at as long as another step runs."""
    hotel, trip = Saga("hotel", input=int), Saga("trip", input=int)
    hotel.wait_for("word")
    landed = asyncio.Event()
    trip.sub_saga(hotel, name="stay", after=(), compensable=False)(lambda number, _: number)

    @trip.step(after=(), compensable=False)
    async def flight(_: int, __: StepContext) -> None:
        await landed.wait()

    ledger = open_ledger(App(sagas=[trip, hotel]))
    ledger.start(hotel, 1, key="trip-1.stay")

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            await worker.start(trip, 1, key="1")
            await until(lambda: bool(ledger.state("trip-1").interventions))
            landed.set()
            await until(lambda: ledger.state("trip-1").steps["flight"].forward.finished)
            return await worker.outcome("trip-1")

    assert [intervention.step for intervention in play(scene()).interventions] == ["stay"]


def test_a_saga_that_turns_back_calls_off_only_what_it_started(open_ledger: OpenLedger) -> None:
    """A saga of the same id that appeared before its start was written is not cancelled."""
    trip, hotel = sagas()
    ledger = open_ledger(App(sagas=[trip, hotel]))
    ledger.start(hotel, 1, key="trip-1.stay")

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            await worker.start(trip, 1, key="1")
            ledger.cancel("trip-1", actor="ann", reason="no time")
            await until(lambda: ledger.state("trip-1").end is not None or bool(ledger.state("trip-1").interventions))
            return ledger.state("trip-1")

    play(scene())
    assert "CancelRequested" not in short_history(ledger, "hotel-trip-1.stay")


@pytest.mark.parametrize(("key", "step"), [("k" * 195, "stay"), ("1", "a.b"), ("1.a", "b")])
def test_a_saga_with_any_key_has_sub_sagas(open_ledger: OpenLedger, key: str, step: str) -> None:
    """The id of a sub-saga fits, and is its own."""
    trip, hotel = sagas(step)
    ledger = open_ledger(App(sagas=[trip, hotel]))
    started = ledger.start(trip, 1, key=key)

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            await until(lambda: any(step.forward.wait for step in ledger.state(started.saga_id).steps.values()))
            [wait] = [each.forward.wait for each in ledger.state(started.saga_id).steps.values() if each.forward.wait]
            await until(lambda: bool(ledger.backend.stream(str(wait.target))))
            ledger.signal(str(wait.target), "word", 7, actor="ann")
            return await worker.outcome(started.saga_id)

    assert play(scene()).status is Status.COMPLETED
