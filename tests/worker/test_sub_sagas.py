"""Sub-sagas: a saga as a step of another, which its parent's history includes."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from sagaledger import App, Retry, Saga, StepContext, StepRejected
from sagaledger.domain.saga.events import StepFailed
from sagaledger.domain.saga.state import Status

from .conftest import OpenLedger, play, short_history, until, worker_on


class Trip(msgspec.Struct):
    """The input of both sagas."""

    trip_id: str
    refuse: str = ""


class Agency:
    """A trip whose hotel is a sub-saga, and a record of what its steps did."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.hotel = Saga("hotel", input=Trip, key=lambda trip: trip.trip_id)
        self._step(self.hotel, "room")
        self._step(self.hotel, "breakfast")
        self.trip = Saga("trip", input=Trip, key=lambda trip: trip.trip_id)
        self._step(self.trip, "flight")
        nested = self.trip.sub_saga(self.hotel, name="stay")(self._input_of_stay)
        nested.compensation(self._undo("stay"))
        self._step(self.trip, "car")
        self.app = App(sagas=[self.trip, self.hotel])

    def _input_of_stay(self, trip: Trip, _: StepContext) -> Trip:
        if trip.refuse == "input":
            raise StepRejected("no stay wanted")
        return trip

    def _step(self, saga: Saga[Trip], name: str) -> None:
        async def act(trip: Trip, ctx: StepContext) -> str:
            await self.gate.wait() if name == "breakfast" else None
            if trip.refuse == name:
                raise StepRejected(f"no {name}")
            self.did.append(name)
            return name if name != "car" else f"car after {ctx.result('stay')}"

        saga.step(name=name)(act).compensation(self._undo(name))

    def _undo(self, name: str) -> Any:
        async def undo(*_: Any) -> None:
            self.did.append(f"undo {name}")

        return undo


def test_a_sub_saga_completes_its_step_with_its_result(open_ledger: OpenLedger) -> None:
    """The parent waits for it, and its history shows both."""
    agency = Agency()
    ledger = open_ledger(agency.app)

    async def scene() -> Any:
        async with worker_on(ledger) as worker:
            started = await worker.start("trip", Trip("1"))
            return await worker.outcome(started.saga_id)

    state = play(scene())

    assert state.status is Status.COMPLETED
    assert agency.did == ["flight", "room", "breakfast", "car"]
    assert bytes(state.step("car").forward.result) == b'"car after breakfast"'
    streams = [recorded.stream_id for recorded in ledger.history("trip-1")]
    assert set(streams) == {"trip-1", "hotel-trip-1.stay"}
    positions = [recorded.position for recorded in ledger.history("trip-1")]
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("refuse", "did"),
    [
        ("room", ["flight", "undo flight"]),
        ("breakfast", ["flight", "room", "undo room", "undo flight"]),
        ("car", ["flight", "room", "breakfast", "undo stay", "undo flight"]),
        ("input", ["flight", "undo flight"]),
    ],
)
def test_a_failure_undoes_what_happened_on_both_levels(open_ledger: OpenLedger, refuse: str, did: list[str]) -> None:
    """A sub-saga undoes itself; one that had completed is undone by its step's compensation."""
    agency = Agency()
    ledger = open_ledger(agency.app)

    async def scene() -> Any:
        async with worker_on(ledger) as worker:
            started = await worker.start("trip", Trip("1", refuse))
            return await worker.outcome(started.saga_id)

    assert play(scene()).status is Status.COMPENSATED
    assert agency.did == did


def test_cancelling_a_saga_calls_off_its_sub_saga_first(open_ledger: OpenLedger) -> None:
    """The parent compensates only after its sub-saga has done so."""
    agency = Agency()
    agency.gate.clear()
    ledger = open_ledger(agency.app)

    async def scene() -> Any:
        async with worker_on(ledger) as worker:
            started = await worker.start("trip", Trip("1"))
            await until(lambda: "breakfast started" in short_history_if_begun(ledger, "hotel-trip-1.stay"))
            ledger.cancel(started.saga_id, actor="someone", reason="no time")
            await until(lambda: "CancelRequested" in short_history_if_begun(ledger, "hotel-trip-1.stay"))
            agency.gate.set()
            return await worker.outcome(started.saga_id)

    assert play(scene()).status is Status.COMPENSATED
    assert agency.did == ["flight", "room", "breakfast", "undo breakfast", "undo room", "undo flight"]
    [failed] = [r.event for r in ledger.history("trip-1", participants=False) if isinstance(r.event, StepFailed)]
    assert failed.error.type == "SubSagaCompensated"


def test_a_sub_saga_goes_on_when_its_worker_is_replaced(open_ledger: OpenLedger) -> None:
    """The next worker finds the sub-saga by its id, whatever the parent had recorded."""
    agency = Agency()
    agency.gate.clear()

    async def scene() -> Any:
        async with worker_on(open_ledger(agency.app), drain_seconds=0.1) as worker:
            await worker.start("trip", Trip("1"))
            await until(lambda: "breakfast started" in short_history_if_begun(reader, "hotel-trip-1.stay"))
        agency.gate.set()
        async with worker_on(open_ledger(agency.app)) as worker:
            return await worker.outcome("trip-1")

    reader = open_ledger(agency.app)
    assert play(scene()).status is Status.COMPLETED
    assert "car started" in short_history(reader, "trip-1")


def short_history_if_begun(ledger: Any, saga_id: str) -> list[str]:
    """Returns a saga's events in short; none before it begins."""
    return short_history(ledger, saga_id) if ledger.backend.stream(saga_id, upto=1) else []


def test_a_parent_learns_that_its_sub_saga_was_abandoned(open_ledger: OpenLedger) -> None:
    """The person's decision wakes the parent, which would otherwise wait for ever."""
    stay = Saga("stay", input=int)
    trip = Saga("trip", input=int)

    @stay.step(pivot=True, retry=Retry(attempts=1))
    async def book(_: int, __: StepContext) -> None:
        raise ConnectionError("no answer")

    @trip.sub_saga(stay, name="rest")
    def input_of_stay(number: int, _: StepContext) -> int:
        return number

    @input_of_stay.compensation
    async def nothing(*_: Any) -> None:
        """There is nothing to undo."""

    ledger = open_ledger(App(sagas=[trip, stay]))

    async def scene() -> Any:
        async with worker_on(ledger) as worker:
            await worker.start(trip, 1, key="1")
            await until(lambda: bool(ledger.backend.stream("stay-trip-1.rest")))
            await worker.outcome("stay-trip-1.rest")
            await worker.idle()
            ledger.intervene("stay-trip-1.rest", "abandon", actor="ann", reason="the hotel is gone")
            return await worker.outcome("trip-1")

    state = play(scene())

    assert state.status is Status.COMPENSATED
    assert "SubSagaAbandoned" in (state.cause or "")
