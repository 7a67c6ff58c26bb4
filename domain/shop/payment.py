"""Payment: money is captured once for an order, and never more is refunded than was captured.

The payment of an order has the order's id. A return has a payment of its own, on which nothing is captured: its full
amount is refunded, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from ..event import Event, event
from ..participant import Command, Participant, Refused

DECLINED_CARD = "declined_card"
"""The payment method that is always declined, as a payment provider's test card is."""

# Events


@event("PaymentSucceeded")
class PaymentSucceeded(Event, frozen=True):
    """The customer paid."""

    payment_id: str
    order_id: str
    customer_id: str | None
    amount_minor: int
    currency: str


@event("PaymentFailed")
class PaymentFailed(Event, frozen=True):
    """The customer's payment was declined."""

    payment_id: str
    order_id: str
    customer_id: str | None
    amount_minor: int
    currency: str
    reason: str


@event("PaymentRefunded")
class PaymentRefunded(Event, frozen=True):
    """The customer got money back: for a cancelled order, or for returned goods."""

    payment_id: str
    order_id: str
    customer_id: str | None
    amount_minor: int
    currency: str


# Commands


class CapturePayment(Command, frozen=True):
    """Take the money for an order."""

    order_id: str
    customer_id: str | None
    amount_minor: int
    currency: str
    method: str


class RefundPayment(Command, frozen=True):
    """Refund money that was captured for an order."""

    order_id: str
    customer_id: str | None
    amount_minor: int
    currency: str


class RefundReturn(Command, frozen=True):
    """Refund the full amount of a return. Repeating the command has no effect."""

    return_id: str
    customer_id: str | None
    amount_minor: int
    currency: str


PaymentCommand = CapturePayment | RefundPayment | RefundReturn

# State


class PaymentState(Struct, frozen=True):
    """The captured and the refunded amount; None until it happened, because an amount may be 0."""

    captured_minor: int | None = None
    refunded_minor: int | None = None


def evolve(state: PaymentState, event: Event) -> PaymentState:
    match event:
        case PaymentSucceeded(amount_minor=amount):
            return replace(state, captured_minor=(state.captured_minor or 0) + amount)
        case PaymentRefunded(amount_minor=amount):
            return replace(state, refunded_minor=(state.refunded_minor or 0) + amount)
        case _:
            return state


# Decision


def decide(state: PaymentState, command: PaymentCommand, at: datetime) -> Sequence[Event]:
    if command.amount_minor < 0:
        raise Refused(f"{type(command).__name__} of {command.amount_minor}: an amount cannot be negative")
    match command:
        case CapturePayment():
            return _capture(state, command, at)
        case RefundPayment():
            return _refund(state, command, at)
        case RefundReturn(return_id=return_id):
            if state.captured_minor is not None:
                raise Refused(f"payment {return_id} is an order's: a return cannot be refunded from it")
            if state.refunded_minor is not None:
                return []
            return [
                PaymentRefunded(at, return_id, return_id, command.customer_id, command.amount_minor, command.currency)
            ]


def _capture(state: PaymentState, command: CapturePayment, at: datetime) -> Sequence[Event]:
    order_id = command.order_id
    if state.captured_minor is not None or state.refunded_minor is not None:
        raise Refused(f"payment {order_id} was settled before: it cannot be captured again")
    if command.method == DECLINED_CARD:
        reason = "payment declined"
        raise Refused(
            reason,
            PaymentFailed(at, order_id, order_id, command.customer_id, command.amount_minor, command.currency, reason),
        )
    return [PaymentSucceeded(at, order_id, order_id, command.customer_id, command.amount_minor, command.currency)]


def _refund(state: PaymentState, command: RefundPayment, at: datetime) -> Sequence[Event]:
    order_id, amount = command.order_id, command.amount_minor
    if state.captured_minor is None:
        raise Refused(f"payment {order_id} was never captured: there is nothing to refund")
    refundable = state.captured_minor - (state.refunded_minor or 0)
    if amount > refundable:
        raise Refused(f"payment {order_id} has {refundable} left to refund, less than the {amount} asked for")
    return [PaymentRefunded(at, order_id, order_id, command.customer_id, amount, command.currency)]


def _payment(command: PaymentCommand) -> str:
    return command.return_id if isinstance(command, RefundReturn) else command.order_id


PAYMENT = Participant(
    "payment",
    initial=PaymentState(),
    state_type=PaymentState,
    events=(PaymentSucceeded, PaymentFailed, PaymentRefunded),
    commands=dict.fromkeys((CapturePayment, RefundPayment, RefundReturn), _payment),
    decide=decide,
    evolve=evolve,
)
