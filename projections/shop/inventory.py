"""`inventory`: one row for each article; at every position received = on_hand + reserved + shipped - returned."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Table, Text

from ...domain.recorded_event import RecordedEvent
from ...domain.shop.inventory import InventoryReleased, InventoryReserved, ItemsRestocked, StockReceived
from ...domain.shop.shipping import ShipmentCancelled, ShipmentPrepared
from ..projection import Projection, Row


def _empty(sku: str) -> Row:
    return {"sku": sku, "received": 0, "on_hand": 0, "reserved": 0, "shipped": 0, "returned": 0}


inventory = Projection(
    "inventory",
    version=1,
    initial=_empty,
    table=Table(
        "inventory",
        MetaData(),
        Column("sku", Text, primary_key=True),
        Column("received", BigInteger, nullable=False),
        Column("on_hand", BigInteger, nullable=False),
        Column("reserved", BigInteger, nullable=False),
        Column("shipped", BigInteger, nullable=False),
        Column("returned", BigInteger, nullable=False),
    ),
)


def _sku(recorded: Any) -> str:
    sku: str = recorded.event.sku
    return sku


def _skus(recorded: Any) -> list[str]:
    return list(dict.fromkeys(line.sku for line in recorded.event.lines))


@inventory.on(StockReceived, key=_sku)
def received(row: Row, event: StockReceived, _: RecordedEvent) -> Row:
    """New pieces are on hand."""
    return {**row, "received": row["received"] + event.quantity, "on_hand": row["on_hand"] + event.quantity}


@inventory.on(InventoryReserved, key=_sku)
def reserved(row: Row, event: InventoryReserved, _: RecordedEvent) -> Row:
    """Pieces on hand are reserved for an order."""
    return {**row, "on_hand": row["on_hand"] - event.quantity, "reserved": row["reserved"] + event.quantity}


@inventory.on(InventoryReleased, key=_sku)
def released(row: Row, event: InventoryReleased, _: RecordedEvent) -> Row:
    """Pieces reserved for an order are on hand again."""
    return {**row, "on_hand": row["on_hand"] + event.quantity, "reserved": row["reserved"] - event.quantity}


@inventory.on(ItemsRestocked, key=_sku)
def restocked(row: Row, event: ItemsRestocked, _: RecordedEvent) -> Row:
    """Returned pieces are on hand again."""
    return {**row, "on_hand": row["on_hand"] + event.quantity, "returned": row["returned"] + event.quantity}


@inventory.on(ShipmentPrepared, key=_skus)
def prepared(row: Row, event: ShipmentPrepared, _: RecordedEvent) -> Row:
    """Pieces reserved for an order are shipped."""
    quantity = _quantity(row, event)
    return {**row, "reserved": row["reserved"] - quantity, "shipped": row["shipped"] + quantity}


@inventory.on(ShipmentCancelled, key=_skus)
def cancelled(row: Row, event: ShipmentCancelled, _: RecordedEvent) -> Row:
    """A shipment is unpacked: its pieces are reserved for the order again."""
    quantity = _quantity(row, event)
    return {**row, "reserved": row["reserved"] + quantity, "shipped": row["shipped"] - quantity}


def _quantity(row: Row, event: ShipmentPrepared | ShipmentCancelled) -> int:
    return sum(line.quantity for line in event.lines if line.sku == row["sku"])
