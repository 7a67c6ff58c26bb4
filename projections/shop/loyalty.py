"""`loyalty`: one row for each customer who ever earned or lost points; a return may take the points below zero."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Table, Text

from ...domain.recorded_event import RecordedEvent
from ...domain.shop.loyalty import LoyaltyPointsAwarded, LoyaltyPointsDeducted
from ..column_types import UtcDateTime
from ..projection import Projection, Row


def _empty(customer_id: str) -> Row:
    return {"customer_id": customer_id, "points": 0, "awarded": 0, "deducted": 0}


loyalty = Projection(
    "loyalty",
    version=1,
    initial=_empty,
    table=Table(
        "loyalty",
        MetaData(),
        Column("customer_id", Text, primary_key=True),
        Column("points", BigInteger, nullable=False),
        Column("awarded", BigInteger, nullable=False),
        Column("deducted", BigInteger, nullable=False),
        Column("updated_at", UtcDateTime, nullable=False),
    ),
)


def _customer_id(recorded: Any) -> str:
    customer_id: str = recorded.event.customer_id
    return customer_id


@loyalty.on(LoyaltyPointsAwarded, key=_customer_id)
def awarded(row: Row, event: LoyaltyPointsAwarded, _: RecordedEvent) -> Row:
    """The customer earned points."""
    return _add(row, event.points, "awarded", event)


@loyalty.on(LoyaltyPointsDeducted, key=_customer_id)
def deducted(row: Row, event: LoyaltyPointsDeducted, _: RecordedEvent) -> Row:
    """The customer lost points."""
    return _add(row, -event.points, "deducted", event)


def _add(row: Row, points: int, column: str, event: LoyaltyPointsAwarded | LoyaltyPointsDeducted) -> Row:
    return {**row, "points": row["points"] + points, column: row[column] + event.points, "updated_at": event.at}
