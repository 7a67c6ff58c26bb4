"""Order: what a customer asked for, from its creation to its completion or cancellation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from ..event import Event, event
from ..participant import Command, Participant, Refused
from .values import Quantity

# Events


@event("OrderCreated")
class OrderCreated(Event, frozen=True):
    """A customer placed an order (at `placed_at`, by the shop's own records); a guest has no customer id.

    `articles` and `payment_method` are for the services of a choreography, which get no commands that contain them.
    """

    order_id: str
    customer_id: str | None
    country: str
    lines: int
    total_minor: int
    currency: str
    placed_at: datetime
    articles: tuple[Quantity, ...] = ()
    payment_method: str = "card"


@event("OrderCompleted")
class OrderCompleted(Event, frozen=True):
    """The order is fulfilled."""

    order_id: str


@event("OrderCancelled")
class OrderCancelled(Event, frozen=True):
    """The order will not be fulfilled; what was done for it is undone."""

    order_id: str
    reason: str


# Commands


class CreateOrder(Command, frozen=True):
    """Open an order."""

    order_id: str
    customer_id: str | None
    country: str
    lines: int
    total_minor: int
    currency: str
    placed_at: datetime
    articles: tuple[Quantity, ...] = ()
    payment_method: str = "card"


class CompleteOrder(Command, frozen=True):
    """Close an order as fulfilled."""

    order_id: str


class CancelOrder(Command, frozen=True):
    """Close an order as not fulfilled."""

    order_id: str
    reason: str


OrderCommand = CreateOrder | CompleteOrder | CancelOrder

# State


class OrderStatus(StrEnum):
    """How far an order has come."""

    ABSENT = "absent"
    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class OrderState(Struct, frozen=True):
    """How far the order has come."""

    status: OrderStatus = OrderStatus.ABSENT


def evolve(state: OrderState, event: Event) -> OrderState:
    match event:
        case OrderCreated():
            return OrderState(OrderStatus.PENDING)
        case OrderCompleted():
            return OrderState(OrderStatus.COMPLETED)
        case OrderCancelled():
            return OrderState(OrderStatus.CANCELLED)
        case _:
            return state


# Decision


def decide(state: OrderState, command: OrderCommand, at: datetime) -> Sequence[Event]:
    order_id = command.order_id
    match command, state.status:
        case CreateOrder(), OrderStatus.ABSENT:
            return [
                OrderCreated(
                    at,
                    order_id,
                    command.customer_id,
                    command.country,
                    command.lines,
                    command.total_minor,
                    command.currency,
                    command.placed_at,
                    command.articles,
                    command.payment_method,
                )
            ]
        case CompleteOrder(), OrderStatus.PENDING:
            return [OrderCompleted(at, order_id)]
        case CancelOrder(reason=reason), OrderStatus.PENDING:
            return [OrderCancelled(at, order_id, reason)]
        case (CompleteOrder(), OrderStatus.COMPLETED) | (CancelOrder(), OrderStatus.CANCELLED):
            return []
        case _:
            raise Refused(f"order {order_id} is {state.status}: {type(command).__name__} does not apply to it")


def _order(command: OrderCommand) -> str:
    return command.order_id


ORDER = Participant(
    "order",
    initial=OrderState(),
    state_type=OrderState,
    events=(OrderCreated, OrderCompleted, OrderCancelled),
    commands=dict.fromkeys((CreateOrder, CompleteOrder, CancelOrder), _order),
    decide=decide,
    evolve=evolve,
)
