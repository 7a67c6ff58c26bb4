"""`shipments`: one row for each order that was packed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text

from ...domain.recorded_event import RecordedEvent
from ...domain.shop.shipping import ShipmentCancelled, ShipmentPrepared
from ..column_types import UtcDateTime
from ..projection import Projection, Row, existing

shipments = Projection(
    "shipments",
    version=1,
    table=Table(
        "shipments",
        MetaData(),
        Column("order_id", Text, primary_key=True),
        Column("status", Text, nullable=False),
        Column("tracking_number", Text, nullable=False),
        Column("pieces", BigInteger, nullable=False),
        Column("prepared_at", UtcDateTime, nullable=False),
        Column("cancelled_at", UtcDateTime),
        Index("shipments_tracking_number", "tracking_number"),
    ),
)

PREPARED = "prepared"
CANCELLED = "cancelled"


def _order_id(recorded: Any) -> str:
    order_id: str = recorded.event.order_id
    return order_id


@shipments.on(ShipmentPrepared, key=_order_id)
def prepared(_: Row | None, event: ShipmentPrepared, __: RecordedEvent) -> Row:
    """The goods of the order are packed."""
    return {
        "order_id": event.order_id,
        "status": PREPARED,
        "tracking_number": event.tracking_number,
        "pieces": sum(line.quantity for line in event.lines),
        "prepared_at": event.at,
        "cancelled_at": None,
    }


@shipments.on(ShipmentCancelled, key=_order_id)
def cancelled(row: Row | None, event: ShipmentCancelled, _: RecordedEvent) -> Row:
    """The goods of the order are unpacked again."""
    return {**existing(row), "status": CANCELLED, "cancelled_at": event.at}
