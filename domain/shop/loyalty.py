"""Loyalty: a customer's points, one for each whole unit of the currency spent.

A return may take the account below zero, because points are deducted even if they were never awarded here. Guests have
no account.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from ..event import Event, event
from ..participant import Command, Participant, Refused

MINOR_PER_POINT = 100
"""The amount, in the currency's minor unit, that earns one point."""


def points_for(amount_minor: int) -> int:
    """Returns the points that an amount earns: one for each whole unit of the currency."""
    return amount_minor // MINOR_PER_POINT


# Events


@event("LoyaltyPointsAwarded")
class LoyaltyPointsAwarded(Event, frozen=True):
    """A customer earned points with an order."""

    customer_id: str
    order_id: str
    points: int


@event("LoyaltyPointsDeducted")
class LoyaltyPointsDeducted(Event, frozen=True):
    """A customer lost points: an order was cancelled, or goods were returned."""

    customer_id: str
    order_id: str
    points: int


# Commands


class AwardLoyaltyPoints(Command, frozen=True):
    """Award a customer the points of an order."""

    customer_id: str
    order_id: str
    points: int


class DeductLoyaltyPoints(Command, frozen=True):
    """Deduct the points of an order or a return from a customer's account."""

    customer_id: str
    order_id: str
    points: int


LoyaltyCommand = AwardLoyaltyPoints | DeductLoyaltyPoints

# State


class LoyaltyAccount(Struct, frozen=True):
    """A customer's points, which may be below zero."""

    points: int = 0


def evolve(account: LoyaltyAccount, event: Event) -> LoyaltyAccount:
    match event:
        case LoyaltyPointsAwarded(points=points):
            return LoyaltyAccount(account.points + points)
        case LoyaltyPointsDeducted(points=points):
            return LoyaltyAccount(account.points - points)
        case _:
            return account


# Decision


def decide(_account: LoyaltyAccount, command: LoyaltyCommand, at: datetime) -> Sequence[Event]:
    customer_id, order_id, points = command.customer_id, command.order_id, command.points
    if points < 0:
        raise Refused(f"{type(command).__name__} of {points} points for {order_id}: points cannot be negative")
    if points == 0:
        return []
    match command:
        case AwardLoyaltyPoints():
            return [LoyaltyPointsAwarded(at, customer_id, order_id, points)]
        case DeductLoyaltyPoints():
            return [LoyaltyPointsDeducted(at, customer_id, order_id, points)]


def _customer(command: LoyaltyCommand) -> str:
    return command.customer_id


LOYALTY = Participant(
    "loyalty",
    initial=LoyaltyAccount(),
    state_type=LoyaltyAccount,
    events=(LoyaltyPointsAwarded, LoyaltyPointsDeducted),
    commands=dict.fromkeys((AwardLoyaltyPoints, DeductLoyaltyPoints), _customer),
    decide=decide,
    evolve=evolve,
)
