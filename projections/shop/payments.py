"""`payments`: one row for each payment, with the amounts captured and refunded."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text

from ...domain.recorded_event import RecordedEvent
from ...domain.shop.payment import PaymentFailed, PaymentRefunded, PaymentSucceeded
from ..column_types import UtcDateTime
from ..projection import Projection, Row

payments = Projection(
    "payments",
    version=1,
    table=Table(
        "payments",
        MetaData(),
        Column("payment_id", Text, primary_key=True),
        Column("order_id", Text, nullable=False),
        Column("customer_id", Text),
        Column("status", Text, nullable=False),
        Column("captured_minor", BigInteger, nullable=False),
        Column("refunded_minor", BigInteger, nullable=False),
        Column("currency", Text, nullable=False),
        Column("reason", Text),
        Column("updated_at", UtcDateTime, nullable=False),
        Index("payments_order_id", "order_id"),
        Index("payments_status", "status"),
    ),
)

CAPTURED = "captured"
DECLINED = "declined"
REFUNDED = "refunded"
PARTLY_REFUNDED = "partly_refunded"


def _payment_id(recorded: Any) -> str:
    payment_id: str = recorded.event.payment_id
    return payment_id


def _updated(row: Row | None, event: PaymentSucceeded | PaymentFailed | PaymentRefunded) -> Row:
    """Returns the payment's row, or one with no amount yet, at the time of the event."""
    return {
        "payment_id": event.payment_id,
        "order_id": event.order_id,
        "customer_id": event.customer_id,
        "captured_minor": 0,
        "refunded_minor": 0,
        "currency": event.currency,
        "reason": None,
        **(row or {}),
        "updated_at": event.at,
    }


@payments.on(PaymentSucceeded, key=_payment_id)
def succeeded(row: Row | None, event: PaymentSucceeded, _: RecordedEvent) -> Row:
    """The amount is captured."""
    payment = _updated(row, event)
    return {
        **payment,
        "status": CAPTURED,
        "captured_minor": payment["captured_minor"] + event.amount_minor,
        "reason": None,
    }


@payments.on(PaymentFailed, key=_payment_id)
def failed(row: Row | None, event: PaymentFailed, _: RecordedEvent) -> Row:
    """The payment was declined."""
    return {**_updated(row, event), "status": DECLINED, "reason": event.reason}


@payments.on(PaymentRefunded, key=_payment_id)
def refunded(row: Row | None, event: PaymentRefunded, _: RecordedEvent) -> Row:
    """The amount is refunded; the payment of a return captured nothing, and so is refunded in full."""
    payment = _updated(row, event)
    refunded_minor = payment["refunded_minor"] + event.amount_minor
    status = REFUNDED if refunded_minor >= payment["captured_minor"] else PARTLY_REFUNDED
    return {**payment, "status": status, "refunded_minor": refunded_minor}
