"""`orders`: one row for each order, with its status and its total."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

from ...domain.recorded_event import RecordedEvent
from ...domain.shop.order import OrderCancelled, OrderCompleted, OrderCreated
from ..column_types import UtcDateTime
from ..projection import Projection, Row, existing

orders = Projection(
    "orders",
    version=1,
    table=Table(
        "orders",
        MetaData(),
        Column("order_id", Text, primary_key=True),
        Column("saga_id", Text, nullable=False),
        Column("customer_id", Text),
        Column("country", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("lines", Integer, nullable=False),
        Column("total_minor", BigInteger, nullable=False),
        Column("currency", Text, nullable=False),
        Column("placed_at", UtcDateTime, nullable=False),
        Column("closed_at", UtcDateTime),
        Column("reason", Text),
        Index("orders_status", "status", "placed_at"),
        Index("orders_customer_id", "customer_id"),
        Index("orders_saga_id", "saga_id"),
    ),
)

PENDING = "pending"
COMPLETED = "completed"
CANCELLED = "cancelled"


def _order_id(recorded: Any) -> str:
    order_id: str = recorded.event.order_id
    return order_id


@orders.on(OrderCreated, key=_order_id)
def created(_: Row | None, event: OrderCreated, recorded: RecordedEvent) -> Row:
    """The order is pending, and belongs to the saga whose id is the event's correlation id."""
    return {
        "order_id": event.order_id,
        "saga_id": recorded.correlation_id,
        "customer_id": event.customer_id,
        "country": event.country,
        "status": PENDING,
        "lines": event.lines,
        "total_minor": event.total_minor,
        "currency": event.currency,
        "placed_at": event.placed_at,
    }


@orders.on(OrderCompleted, key=_order_id)
def completed(row: Row | None, event: OrderCompleted, _: RecordedEvent) -> Row:
    """The order is completed."""
    return {**existing(row), "status": COMPLETED, "closed_at": event.at}


@orders.on(OrderCancelled, key=_order_id)
def cancelled(row: Row | None, event: OrderCancelled, _: RecordedEvent) -> Row:
    """The order is cancelled, for the reason in the event."""
    return {**existing(row), "status": CANCELLED, "closed_at": event.at, "reason": event.reason}
