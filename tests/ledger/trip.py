"""A trip: a little saga of an event-sourced participant and a service elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from sagaledger.domain.event import Event, event
from sagaledger.domain.participant import Command, Participant, Refused
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.step import StepContext
from sagaledger.domain.saga.step_kind import LocalResult
from sagaledger.infrastructure.ledger.app import App


class Trip(Struct, frozen=True):
    """Where to, and with how many."""

    place: str
    seats: int


@event("SeatsTaken")
class SeatsTaken(Event, frozen=True):
    """Seats of a train were taken."""

    seats: int


@event("SeatsFreed")
class SeatsFreed(Event, frozen=True):
    """Seats of a train are free again."""

    seats: int


class TakeSeats(Command, frozen=True):
    """Take seats, of the hundred there are."""

    place: str
    seats: int


class FreeSeats(Command, frozen=True):
    """Free seats."""

    place: str
    seats: int


def _decide(taken: int, command: TakeSeats | FreeSeats, at: datetime) -> Sequence[Event]:
    if isinstance(command, FreeSeats):
        return [SeatsFreed(at, command.seats)]
    if taken + command.seats > 100:
        raise Refused(f"the train to {command.place} has {100 - taken} seats left")
    return [SeatsTaken(at, command.seats)]


TRAIN = Participant(
    "train",
    initial=0,
    state_type=int,
    events=(SeatsTaken, SeatsFreed),
    commands={TakeSeats: lambda take: str(take.place), FreeSeats: lambda free: str(free.place)},
    decide=_decide,
    evolve=lambda taken, fact: taken + fact.seats * (1 if isinstance(fact, SeatsTaken) else -1),  # type: ignore[attr-defined]
)

trip = Saga("trip", input=Trip, key=lambda asked: f"{asked.place}.{asked.seats}")


@trip.local_step()
def take_seats(asked: Trip, _: StepContext) -> list[Command]:
    """Take the seats."""
    return [TakeSeats(asked.place, asked.seats)]


@take_seats.compensation
def free_seats(asked: Trip, done: LocalResult | None, _: StepContext) -> list[Command]:
    """Free them."""
    return [] if done is None else [FreeSeats(asked.place, asked.seats)]


@trip.step(retry=Retry(attempts=3, backoff_seconds=30.0))
async def book_hotel(asked: Trip, _: StepContext) -> str:
    """Book beds elsewhere."""
    return f"{asked.seats} beds in {asked.place}"


@book_hotel.compensation(retry=Retry(attempts=2))
async def cancel_hotel(_: Trip, __: str | None, ___: StepContext) -> None:
    """Cancel them."""


@trip.step(compensable=False)
async def send_tickets(_: Trip, ctx: StepContext) -> str:
    """Send everything."""
    return f"tickets and {ctx.result(book_hotel)}"


APP = App(sagas=[trip], participants=[TRAIN])
