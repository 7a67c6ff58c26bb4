"""An app of one's own, as a user would write it: a trip that may meet a full hotel and a silent airline."""

from __future__ import annotations

import asyncio
from pathlib import Path

from msgspec import Struct

from sagaledger.domain.errors import StepRejected
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.step import StepContext
from sagaledger.infrastructure.ledger.app import App

ONCE = Retry(attempts=1)


class Trip(Struct, frozen=True):
    """What a traveller asks for."""

    traveller: str
    hotel: str = "free"
    """`free`, `full`, or a file for whose existence the hotel waits before it answers."""
    airline_answers: bool = True


book_trip = Saga("book_trip", input=Trip, key=lambda trip: trip.traveller)


@book_trip.step(retry=ONCE)
def book_flight(trip: Trip, _ctx: StepContext) -> str:
    return f"seat for {trip.traveller}"


@book_flight.compensation(retry=ONCE)
def cancel_flight(trip: Trip, _seat: str | None, _ctx: StepContext) -> None:
    if not trip.airline_answers:
        raise ConnectionError("the airline does not answer")


@book_trip.step(retry=ONCE, timeout=30)
async def book_hotel(trip: Trip, _ctx: StepContext) -> str:
    if trip.hotel == "full":
        raise StepRejected("the hotel is full")
    while trip.hotel != "free" and not Path(trip.hotel).exists():  # noqa: ASYNC110, ASYNC240 -- bounded by the timeout
        await asyncio.sleep(0.01)
    return "room 7"


@book_hotel.compensation(retry=ONCE)
async def cancel_hotel(_trip: Trip, _room: str | None, _ctx: StepContext) -> None:
    """The hotel always lets one cancel."""


APP = App(sagas=[book_trip])
