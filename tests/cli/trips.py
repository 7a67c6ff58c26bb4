"""The app of the sagas on the screens: trips with parallel bookings, and the shop's orders."""

from __future__ import annotations

from msgspec import Struct

from sagaledger import App, Retry, Saga, StepContext
from sagaledger.domain.shop import PARTICIPANTS, SAGAS
from sagaledger.domain.shop.services import SERVICES
from sagaledger.projections.shop import SHOP_PROJECTIONS


class Trip(Struct, frozen=True):
    """What a group asks for."""

    city: str
    travellers: list[str]
    abroad: bool = False


class Charge(Struct, frozen=True):
    """Money to be taken."""

    card: str
    pounds: int


charge_card = Saga("charge_card", input=Charge)


@charge_card.step(retry=Retry(attempts=3))
def authorise(charge: Charge, _ctx: StepContext) -> str:
    """Planned by the ledger; never called."""
    return charge.card


@authorise.compensation
def void(_charge: Charge, _authorised: str | None, _ctx: StepContext) -> None:
    """The money is free again."""


@charge_card.step(pivot=True, retry=Retry(attempts=3))
def capture(charge: Charge, _ctx: StepContext) -> int:
    """Planned by the ledger; never called."""
    return charge.pounds


group_trip = Saga("group_trip", version=3, input=Trip, key=lambda trip: trip.city, deadline=14 * 86_400)


@group_trip.for_each(items=lambda trip, _: trip.travellers, parallel=2)
def book_seat(traveller: str, _ctx: StepContext) -> str:
    """Planned by the ledger; never called."""
    return traveller


@book_seat.compensation
def cancel_seat(_traveller: str, _seat: str | None, _ctx: StepContext) -> None:
    """The seat is free again."""


@group_trip.step(after=[book_seat], timeout=30)
def book_flight(trip: Trip, _ctx: StepContext) -> str:
    """Planned by the ledger; never called."""
    return trip.city


@book_flight.compensation
def cancel_flight(_trip: Trip, _ticket: str | None, _ctx: StepContext) -> None:
    """The flight is free again."""


@group_trip.step(after=[book_seat], timeout=30)
def book_hotel(trip: Trip, _ctx: StepContext) -> str:
    """Planned by the ledger; never called."""
    return trip.city


@book_hotel.compensation
def cancel_hotel(_trip: Trip, _rooms: str | None, _ctx: StepContext) -> None:
    """The rooms are free again."""


@group_trip.step(after=[book_flight, book_hotel], when=lambda trip, _: trip.abroad, compensable=False)
def order_visas(trip: Trip, _ctx: StepContext) -> int:
    """Planned by the ledger; never called."""
    return len(trip.travellers)


group_trip.wait_for("release", approvals=2, exclude_requester=True, timeout=7 * 86_400)


@group_trip.sub_saga(charge_card, compensable=False)
def charge(trip: Trip, _ctx: StepContext) -> Charge:
    """Planned by the ledger; never called."""
    return Charge("4711", 100 * len(trip.travellers))


APP = App(
    sagas=[*SAGAS, group_trip, charge_card],
    participants=PARTICIPANTS,
    services=SERVICES,
    projections=SHOP_PROJECTIONS,
)
