"""Uses of the API that a type checker refuses: on each line with a code, with that code in mypy, and nowhere else."""

from __future__ import annotations

from typing import Any

from sagaledger import Command, Ledger, Retry, Saga, Step, StepContext, Worker, rehearse, rehearse_each_failure

from .right import (
    Room,
    Ticket,
    Trip,
    book_flight,
    book_hotel,
    book_trip,
    lend_car,
    nap,
    print_badge,
    reserve,
    send_guide,
    stay,
)

Saga("keyed", input=Trip, key=lambda trip: trip.number)  # attr-defined
Saga("keyed", input=Trip, key=len)  # arg-type


@book_trip.step()  # arg-type
def takes_another_input(trip: str, ctx: StepContext) -> None: ...


@book_trip.step()  # arg-type
async def takes_another_input_later(trip: Room, ctx: StepContext) -> None: ...


@book_trip.step()  # arg-type
def takes_no_context(trip: Trip) -> None: ...


@book_trip.step()  # arg-type
def takes_no_other_context(trip: Trip, ctx: str) -> None: ...


@book_flight.compensation  # arg-type
async def takes_another_result(trip: Trip, ticket: str | None, ctx: StepContext) -> None: ...


@book_flight.compensation(retry=Retry())  # arg-type
def takes_no_unknown_result(trip: Trip, ticket: Ticket, ctx: StepContext) -> None: ...


@lend_car.compensation()  # arg-type
def takes_the_awaitable(trip: Trip, ticket: str | None, ctx: StepContext) -> None: ...


@book_trip.local_step()  # type-var
def returns_no_commands(trip: Trip, ctx: StepContext) -> str:
    return trip.city


@reserve.compensation  # arg-type
def takes_its_commands(trip: Trip, done: list[Command], ctx: StepContext) -> list[Command]:
    return done


@book_trip.sub_saga(stay)  # arg-type
def returns_another_input(trip: Trip, ctx: StepContext) -> Trip:
    return trip


@book_trip.step(when=lambda trip, ctx: trip.number == 1)  # attr-defined
def takes_a_condition_on_something_else(trip: Trip, ctx: StepContext) -> None: ...


@book_trip.for_each(items=lambda trip, ctx: trip.city)  # arg-type
def takes_another_item(letter: int, ctx: StepContext) -> None: ...


@book_trip.on_completed  # arg-type
def hook_of_another_input(trip: Room) -> list[Command]:
    return []


async def uses(trip: Trip, ctx: StepContext, ledger: Ledger, worker: Worker, connection: Any) -> None:
    """Steps, contexts and starts."""
    ticket = ctx.result(book_flight)
    print(ticket.number)  # union-attr
    number: int | None = ctx.result(book_hotel)  # assignment
    guides: int | None = ctx.result(send_guide)  # assignment
    badge: Ticket | None = ctx.result(print_badge)  # assignment
    other: Step[Trip, int] = book_hotel  # assignment
    book_trip.step(after=[1])  # list-item
    book_trip.wait_for("x", after=[nap], timeout="soon")  # call-overload
    book_trip.wait_for("x", approvals="two")  # call-overload
    await book_hotel(trip, ctx)  # misc
    book_hotel("Rome", ctx)  # arg-type
    book_hotel(trip)  # call-arg
    ledger.start(book_trip, "Rome")  # misc
    ledger.start_in(connection, stay, trip)  # misc
    await worker.start(book_trip, Ticket("1"))  # misc
    rehearse(book_trip, {"trip_id": "1"})  # misc
    rehearse_each_failure(book_trip, 1, ValueError())  # misc
    rehearse_each_failure(book_trip, trip, ValueError(), signal=[])  # call-arg
    ledger.query("sagas", were={})  # call-arg
    ledger.state("book_trip-1", 4)  # arg-type
    print(number, other, guides, badge)
