"""Uses of the API that a type checker accepts without an ignore, each with the type that it finds."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypedDict, assert_type

from msgspec import Struct
from pydantic import BaseModel

from sagaledger import (
    SKIPPED,
    App,
    Approval,
    AsyncLedger,
    Command,
    Fail,
    ItemOutcome,
    Ledger,
    LedgerChanges,
    LocalResult,
    Moment,
    QueryResult,
    RecordedEvent,
    Rehearsal,
    Retry,
    RetryAfter,
    Saga,
    SagaState,
    Scenario,
    Skipped,
    Started,
    Status,
    Step,
    StepContext,
    Worker,
    WorkerHealth,
    rehearse,
    rehearse_each_failure,
)


class Trip(Struct):
    trip_id: str
    city: str


@dataclass
class Ticket:
    number: str


class Room(TypedDict):
    number: int


class Letter(BaseModel):
    text: str


class Reserve(Command, frozen=True):
    room: str


book_trip = Saga("book_trip", input=Trip, key=lambda trip: trip.trip_id)
stay = Saga("stay", input=Room)


write = Saga("write", input=Letter, key=lambda letter: letter.text)


@write.step(compensable=False)
def sign(letter: Letter, ctx: StepContext) -> Letter:
    return letter.model_copy(update={"text": f"{letter.text} {ctx.result(sign)}"})


@stay.step(compensable=False)
def check_in(room: Room, ctx: StepContext) -> int:
    return room["number"]


@book_trip.step(retry=Retry(attempts=5), timeout=10)
async def book_flight(trip: Trip, ctx: StepContext) -> Ticket:
    return Ticket(f"LH-{trip.trip_id}")


@book_flight.compensation
async def cancel_flight(trip: Trip, ticket: Ticket | None, ctx: StepContext) -> None:
    print(trip.trip_id, ticket.number if ticket else "unknown")


@book_trip.step(after=[book_flight])
def book_hotel(trip: Trip, ctx: StepContext) -> str:
    ticket = ctx.result(book_flight)
    assert_type(ticket, Ticket | None)
    assert_type(ctx.result("book_flight"), Any)
    assert_type(ctx.result(nap), None)
    assert_type(ctx.result(reserve), LocalResult | None)
    assert_type(ctx.result(approval), Any | None)
    assert_type(ctx.result(lend_car), int | None)
    assert_type(ctx.result(note), LocalResult | Skipped | None)
    return ticket.number if ticket else "no flight"


@book_hotel.compensation(retry=Retry(attempts=20), timeout=5)
def cancel_hotel(trip: Trip, hotel: str | None, ctx: StepContext) -> None:
    print(trip.city, hotel)


policies = {ConnectionError: Retry(attempts=20), RetryAfter: Retry(attempts=5)}


@book_trip.step(retry={OSError: Retry(attempts=9), Exception: Retry()}, heartbeat_timeout=5)
async def print_map(trip: Trip, ctx: StepContext) -> int:
    assert_type(ctx.cancelled, bool)
    assert_type(ctx.last_progress, Any)
    ctx.heartbeat({"page": 3})
    ctx.heartbeat()
    raise RetryAfter(timedelta(minutes=1), "busy", nothing_happened=True)


@print_map.compensation(retry=policies, heartbeat_timeout=5)
async def burn_map(trip: Trip, pages: int | None, ctx: StepContext) -> None:
    raise Fail("wet")


@book_trip.step(after=[], retry=policies, compensable=False)
def lend_car(trip: Trip, ctx: StepContext) -> Awaitable[int]:
    return Car()(trip, ctx)


@book_trip.local_step()
def reserve(trip: Trip, ctx: StepContext) -> list[Reserve]:
    return [Reserve(trip.city)]


@reserve.compensation
def release(trip: Trip, done: LocalResult | None, ctx: StepContext) -> list[Reserve]:
    return [] if done is None or not done.events else [Reserve(trip.city)]


@book_trip.step(when=lambda trip, ctx: trip.city == "Rome", timeout=5)
async def send_guide(trip: Trip, ctx: StepContext) -> int:
    return 1


@send_guide.compensation
def take_guide_back(trip: Trip, guides: int | None, ctx: StepContext) -> None:
    print(trip, guides)


@book_trip.for_each(items=lambda trip, ctx: trip.city, parallel=5)
async def print_badge(letter: str, ctx: StepContext) -> Ticket:
    assert_type(ctx.result(send_guide), int | Skipped | None)
    if ctx.result(send_guide) is SKIPPED:
        print("no guide")
    return Ticket(letter)


@print_badge.compensation
def tear_badge(letter: str, badge: Ticket | None, ctx: StepContext) -> None:
    print(letter, badge)


@book_trip.local_step(when=lambda trip, ctx: bool(ctx.result(print_badge)), compensable=False)
def note(trip: Trip, ctx: StepContext) -> list[Reserve]:
    assert_type(ctx.result(print_badge), list[Ticket | None])
    assert_type(ctx.outcomes(print_badge), list[ItemOutcome])
    return []


nap = book_trip.sleep("nap", seconds=60)
approval = book_trip.wait_for("approval", timeout=60, after=[nap, "book_hotel"])
terms = book_trip.wait_for("terms", type=Ticket, exclude_requester=True)
votes = book_trip.wait_for("votes", approvals=2, type=int, excluded=["robot"])
nods = book_trip.wait_for("nods", approvals=2)
advice = book_trip.wait_for("advice", type=int, when=lambda trip, ctx: trip.city == "Rome")


@book_trip.sub_saga(stay, after=(nap, book_hotel, book_flight))
def hotel_stay(trip: Trip, ctx: StepContext) -> Room:
    assert_type(ctx.result(terms), Ticket | None)
    assert_type(ctx.result(votes), list[Approval[int]] | None)
    assert_type(ctx.result(nods), list[Approval[Any]] | None)
    assert_type(ctx.result(advice), Any | None)
    return {"number": len(trip.city)}


@hotel_stay.compensation
def end_stay(trip: Trip, result: Any, ctx: StepContext) -> None:
    print(trip, result)


@book_trip.sub_saga(stay)
async def second_stay(trip: Trip, ctx: StepContext) -> Room:
    return {"number": len(trip.city)}


@book_trip.on_started
def announce(trip: Trip) -> list[Command]:
    return [Reserve(trip.city)]


class Car:
    """An action that is an object."""

    async def __call__(self, trip: Trip, ctx: StepContext) -> int:
        return len(trip.city)

    def give_back(self, trip: Trip, number: int | None, ctx: StepContext) -> None:
        print(trip, number)


def with_agency(agency: str, trip: Trip, ctx: StepContext) -> str:
    return agency


car = book_trip.step(name="car")(Car())
car.compensation(Car().give_back)
agent = book_trip.step(name="agent", compensable=False)(partial(with_agency, "ACME"))
greet = book_trip.step(name="greet", compensable=False)(lambda trip, ctx: trip.city)


def steps() -> None:
    """The types of declared steps."""
    flight: Step[Trip, Ticket] = book_flight
    hotel: Step[Trip, str] = book_hotel
    assert_type(nap, Step[Trip, None])
    assert_type(approval, Step[Trip, Any])
    several: list[Step[Any, Any]] = [flight, hotel, car, agent, greet, hotel_stay, second_stay]
    book_trip.step(after=several)
    book_trip.step(after={step.name for step in several})


async def unit_test() -> None:
    """A step is called like its action, with the types of the action."""
    trip, ctx = Trip("1", "Rome"), StepContext.for_test(book_hotel, results={book_flight: Ticket("1"), "nap": None})
    assert_type(await book_flight(trip, ctx), Ticket)
    assert_type(book_hotel(trip, ctx), str)
    assert_type(await lend_car(trip, ctx), int)
    assert_type(await send_guide(trip, ctx), int)
    assert_type(await print_badge("A", ctx), Ticket)
    assert_type(reserve(trip, ctx), list[Reserve])
    assert_type(hotel_stay(trip, ctx), Room)
    assert_type(await second_stay(trip, ctx), Room)
    assert_type(await car(trip, ctx), int)
    assert_type(agent(trip, ctx), str)
    assert_type(greet(trip, ctx), str)
    assert_type(await cancel_flight(trip, None, ctx), None)
    cancel_hotel(trip, "Ritz", StepContext.for_test())


async def program(ledger: Ledger, connection: Any) -> None:
    """Starting, reading and rehearsing."""
    trip = Trip("1", "Rome")
    assert_type(App(sagas=[book_trip, stay]), App)
    assert_type(ledger.start(book_trip, trip), Started)
    assert_type(ledger.start(write, Letter(text="Dear")), Started)
    assert_type(ledger.start(stay, Room(number=1), key="room-1"), Started)
    assert_type(ledger.start("book_trip", {"trip_id": "1", "city": "Rome"}), Started)
    assert_type(ledger.start_in(connection, book_trip, trip), str)
    assert_type(ledger.state("book_trip-1"), SagaState)
    assert_type(ledger.state("book_trip-1").status, Status)
    assert_type(ledger.state("book_trip-1", at="v4"), SagaState)
    assert_type(ledger.state("book_trip-1", timedelta(days=7)), SagaState)
    assert_type(ledger.history("book_trip-1", at=datetime.now(UTC)), list[RecordedEvent])
    assert_type(ledger.query("sagas", at=Moment(position=1_897), limit=10), QueryResult)
    assert_type(ledger.changes("@1800", "@1900", views=["sagas"]), LedgerChanges)
    assert_type(ledger.query("sagas", where={"status": "running"}, order=["-started_at"], limit=10), QueryResult)
    async with AsyncLedger.open("sqlite:///trips.db") as client:
        assert_type(client, AsyncLedger)
        assert_type(await client.start(book_trip, trip, timeout=5), Started)
        assert_type(await client.start_in(connection, book_trip, trip), str)
        assert_type(await client.wait("book_trip-1", timeout=5), SagaState)
        assert_type(await client.query("sagas", where={"status": "running"}, limit=10), QueryResult)
        assert_type(await client.run(lambda it: it.state("book_trip-1").status), Status)
    async with Worker(ledger) as worker:
        assert_type(worker.health(), WorkerHealth)
        assert_type(await worker.start(book_trip, trip), Started)
        assert_type(await worker.start("book_trip", trip), Started)
    assert_type(rehearse(book_trip, trip, results={"book_hotel": "Ritz"}), Rehearsal)
    assert_type(Scenario(book_trip).given(results={"book_hotel": "Ritz"}).when(trip).rehearsal, Rehearsal)
    for name, rehearsal in rehearse_each_failure(book_trip, trip, ValueError()):
        assert_type(name, str)
        assert_type(rehearsal, Rehearsal)
    assert_type(Retry(attempts=3).delay_seconds("key", 1), float)
