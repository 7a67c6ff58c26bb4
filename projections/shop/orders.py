"""`orders`: one row for each order, with how it stands and what it is worth."""

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


def _order(recorded: Any) -> str:
    order_id: str = recorded.event.order_id
    return order_id


@orders.on(OrderCreated, key=_order)
def created(_: Row | None, event: OrderCreated, recorded: RecordedEvent) -> Row:
    """The order is open, and belongs to the process that created it."""
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


@orders.on(OrderCompleted, key=_order)
def completed(row: Row | None, event: OrderCompleted, _: RecordedEvent) -> Row:
    """The customer gets what was ordered."""
    return {**existing(row), "status": COMPLETED, "closed_at": event.at}


@orders.on(OrderCancelled, key=_order)
def cancelled(row: Row | None, event: OrderCancelled, _: RecordedEvent) -> Row:
    """The order will not be fulfilled."""
    return {**existing(row), "status": CANCELLED, "closed_at": event.at, "reason": event.reason}
