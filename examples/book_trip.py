"""A trip of a flight and a hotel: if the hotel cannot be booked, the flight is given back.

    python examples/book_trip.py [URL]
    sagaledger start book_trip --app examples/book_trip.py:app --input '{"trip_id": "3", "city": "Rome"}'

The first command books two trips in the ledger at the URL (default: `sqlite:///trips.db`). The second starts a saga
from a shell; `sagaledger worker` with the same `--app` drives it.
"""

import asyncio
import sys

import msgspec

from sagaledger import App, Ledger, Retry, Saga, StepContext, StepRejected, Worker


class Trip(msgspec.Struct):
    trip_id: str
    city: str


class Ticket(msgspec.Struct):
    number: str


book_trip = Saga("book_trip", version=1, input=Trip, key=lambda trip: trip.trip_id)


@book_trip.step(retry=Retry(attempts=5), timeout=10)
async def book_flight(trip: Trip, ctx: StepContext) -> Ticket:
    return Ticket(f"LH-{trip.trip_id}")  # call the airline here, with ctx.key as its idempotency key


@book_flight.compensation
async def cancel_flight(trip: Trip, ticket: Ticket | None, ctx: StepContext) -> None:
    print(f"gave back {ticket.number if ticket else 'whatever was booked'}")


@book_trip.step(timeout=10, compensable=False)
async def book_hotel(trip: Trip, ctx: StepContext) -> str:
    if trip.city == "Atlantis":
        raise StepRejected("no hotel there")  # a refusal: not retried, and nothing to undo
    ticket = ctx.result(book_flight)  # a `Ticket`, or None if a person decided to go on without the flight
    return f"hotel in {trip.city}, arriving with {ticket.number if ticket else 'no ticket'}"


app = App(sagas=[book_trip])


async def main(url: str) -> None:
    with Ledger.open(url, app, create=True) as ledger:
        async with Worker(ledger) as worker:
            for trip in (Trip("1", "Rome"), Trip("2", "Atlantis")):
                started = await worker.start(book_trip, trip)
                state = await worker.outcome(started.saga_id)
                print(f"{state.saga_id}: {state.status}", *filter(None, [state.cause]), sep=", ")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///trips.db"))
