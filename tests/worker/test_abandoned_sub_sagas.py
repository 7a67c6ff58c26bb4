"""A sub-saga that a person abandoned may have had an effect: its parent undoes it, or asks a person."""

from __future__ import annotations

from typing import Any

import pytest

from sagaledger import App, Ledger, Saga, Status
from sagaledger.domain.saga.state import SagaState

from .conftest import OpenLedger, play, until, worker_on

STAY = "hotel-trip-1.stay"


def _fails(*_: Any) -> None:
    raise OSError("away")


def sagas(undone: list[str], *, pivot: bool) -> App:
    """A trip whose sub-saga parks."""
    hotel, trip = Saga("hotel", input=int), Saga("trip", input=int)
    hotel.step(name="room", pivot=True)(_fails)
    trip.step(name="flight")(lambda *_: None).compensation(lambda *_: undone.append("flight"))
    stay = trip.sub_saga(hotel, name="stay", pivot=pivot)(lambda number, _: number)
    if not pivot:
        stay.compensation(lambda *_: undone.append("stay"))
    return App(sagas=[trip, hotel])


def outcome(ledger: Ledger, saga_id: str) -> SagaState:
    """Work until a saga has ended or needs a person."""

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            await until(lambda: bool(ledger.backend.stream(saga_id, upto=1)))
            state = await worker.outcome(saga_id)
            await worker.idle()
            return state

    return play(scene())


def abandoned(ledger: Ledger, reason: str) -> SagaState:
    """The state of the parent after its sub-saga was abandoned."""
    ledger.start("trip", 1, key="1")
    outcome(ledger, STAY)
    ledger.intervene(STAY, "abandon", actor="ann", reason=reason)
    return outcome(ledger, "trip-1")


@pytest.mark.parametrize("reason", ["the hotel is gone", "x" * 200_000])
def test_its_step_undoes_it(open_ledger: OpenLedger, reason: str) -> None:
    """However long the person's reason is, which is the cause of the step's failure."""
    undone: list[str] = []
    ledger = open_ledger(sagas(undone, pivot=False))

    assert abandoned(ledger, reason).status is Status.COMPENSATED
    assert undone == ["stay", "flight"]


def test_as_a_pivot_it_parks_its_parent_again_and_again(open_ledger: OpenLedger) -> None:
    """Also after a retry and a request to turn back: only a person knows whether it happened."""
    undone: list[str] = []
    ledger = open_ledger(sagas(undone, pivot=True))
    assert [each.step for each in abandoned(ledger, "gone").interventions] == ["stay"]

    ledger.intervene("trip-1", "retry", actor="ann", reason="it is back")
    ledger.cancel("trip-1", actor="ann", reason="no time")
    assert [each.step for each in outcome(ledger, "trip-1").interventions] == ["stay"]
    assert undone == []

    ledger.intervene("trip-1", "resolve", actor="ann", reason="they have been there", result=1)
    assert outcome(ledger, "trip-1").status is Status.COMPLETED
