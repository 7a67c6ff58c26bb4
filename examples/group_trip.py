"""A trip for a group: a seat for each traveller, a visa only abroad, two approvals, and a check of prices each Monday.

    python examples/group_trip.py [URL]
    sagaledger worker --app examples/group_trip.py:app --db URL

The first command books one trip in the ledger at the URL (default: `sqlite:///trips.db`), and plays the people who
approve it. It needs `pip install 'sagaledger[schedules]'`. The second goes on where a worker was killed, and starts the
sagas of the schedule.
"""

import asyncio
import sys

import msgspec

from sagaledger import SKIPPED, App, Ledger, Retry, Saga, Schedule, StepContext, StepRejected, Tick, Worker


class Traveller(msgspec.Struct):
    name: str
    passport: str


class GroupTrip(msgspec.Struct):
    trip_id: str
    city: str
    abroad: bool
    travellers: list[Traveller]


class Budget(msgspec.Struct):
    pounds: int


group_trip = Saga(
    "group_trip", version=1, input=GroupTrip, key=lambda trip: trip.trip_id, search={"city": lambda trip: trip.city}
)


@group_trip.for_each(items=lambda trip, _: trip.travellers, parallel=2, retry=Retry(attempts=5))
async def book_seat(traveller: Traveller, ctx: StepContext) -> str:
    await asyncio.sleep(0.05)  # call the airline here, with ctx.key as its idempotency key
    return f"seat of {traveller.name}"


@book_seat.compensation
async def cancel_seat(traveller: Traveller, seat: str | None, ctx: StepContext) -> None:
    print(f"gave back {seat or 'whatever was booked'}")


@group_trip.step(when=lambda trip, _: trip.abroad)
async def order_visas(trip: GroupTrip, ctx: StepContext) -> int:
    return len(trip.travellers)


@order_visas.compensation
async def cancel_visas(trip: GroupTrip, visas: int | None, ctx: StepContext) -> None:
    print("cancelled the visas")


release = group_trip.wait_for("release", type=Budget, approvals=2, exclude_requester=True, timeout=7 * 86_400)


@group_trip.step(pivot=True)
async def pay(trip: GroupTrip, ctx: StepContext) -> str:
    approvals = ctx.result(release) or []
    seats = ctx.result(book_seat)
    if min(each.payload.pounds for each in approvals) < 100 * len(seats):
        raise StepRejected("the budget is too small")
    visas = "no visas" if ctx.result(order_visas) is SKIPPED else "visas"
    return (
        f"{len(seats)} seats to {trip.city} with {visas}, released by {' and '.join(each.actor for each in approvals)}"
    )


check_prices = Saga("check_prices", version=1, input=str)


@check_prices.step(compensable=False)
def compare_offers(day: str, ctx: StepContext) -> str:
    return f"compared the offers of {day}"


def day_of(tick: Tick) -> str:
    return tick.local.date().isoformat()


mondays = Schedule("mondays", check_prices, cron="0 7 * * MON", timezone="Europe/London", input=day_of)

app = App(sagas=[group_trip, check_prices], schedules=[mondays])


async def main(url: str) -> None:
    trip = GroupTrip("1", "Rome", abroad=False, travellers=[Traveller("Ada", "P1"), Traveller("Grace", "P2")])
    with Ledger.open(url, app, create=True) as ledger:
        async with Worker(ledger) as worker:
            started = await worker.start(group_trip, trip, actor="ann")
            for actor in ("bob", "cid"):  # a signal that comes before its step waits for it is kept
                ledger.approve(started.saga_id, "release", Budget(500), actor=actor, reason="within the budget")
            state = await worker.outcome(started.saga_id)
            print(f"{state.saga_id}: {state.status}, {bytes(state.result or b'').decode()}")
            [next_check] = ledger.schedules.next_ticks("mondays", 1)
            print(f"prices are checked next on a {next_check:%A}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///trips.db"))
