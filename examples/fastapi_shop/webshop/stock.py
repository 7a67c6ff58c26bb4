"""The stock: a participant that lives in the ledger, and a view of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Column, Integer, MetaData, Table, Text

from sagaledger import Command, Event, Participant, Projection, RecordedEvent, Refused, Row, event

# What happens to an article


@event("webshop.GoodsReceived")
class GoodsReceived(Event, frozen=True):
    sku: str
    quantity: int


@event("webshop.GoodsReserved")
class GoodsReserved(Event, frozen=True):
    sku: str
    quantity: int
    order_id: str


@event("webshop.GoodsReleased")
class GoodsReleased(Event, frozen=True):
    sku: str
    quantity: int
    order_id: str


@event("webshop.GoodsSold")
class GoodsSold(Event, frozen=True):
    sku: str
    quantity: int
    order_id: str


# What it can be asked to do


class Receive(Command, frozen=True):
    sku: str
    quantity: int


class Reserve(Command, frozen=True):
    sku: str
    quantity: int
    order_id: str


class Release(Command, frozen=True):
    sku: str
    quantity: int
    order_id: str


class Sell(Command, frozen=True):
    sku: str
    quantity: int
    order_id: str


class Article(Struct, frozen=True):
    """What is needed to decide: the pieces that can still be reserved."""

    available: int = 0


def decide(article: Article, command: Command, at: datetime) -> Sequence[Event]:
    match command:
        case Receive(sku, quantity):
            return [GoodsReceived(at, sku, quantity)]
        case Reserve(sku, quantity) if quantity > article.available:
            raise Refused(f"{quantity} of article {sku} are wanted, {article.available} are available")
        case Reserve(sku, quantity, order_id):
            return [GoodsReserved(at, sku, quantity, order_id)]
        case Release(sku, quantity, order_id):
            return [GoodsReleased(at, sku, quantity, order_id)]
        case Sell(sku, quantity, order_id):
            return [GoodsSold(at, sku, quantity, order_id)]
        case _:
            raise AssertionError(command)


def evolve(article: Article, event: Event) -> Article:
    match event:
        case GoodsReceived() | GoodsReleased():
            return Article(article.available + event.quantity)
        case GoodsReserved():
            return Article(article.available - event.quantity)
        case _:
            return article


stock = Participant(
    "webshop_stock",
    initial=Article(),
    state_type=Article,
    events=(GoodsReceived, GoodsReserved, GoodsReleased, GoodsSold),
    commands=dict.fromkeys((Receive, Reserve, Release, Sell), lambda command: command.sku),
    decide=decide,
    evolve=evolve,
)

stock_levels = Projection(
    "stock_levels",
    version=1,
    table=Table(
        "stock_levels",
        MetaData(),
        Column("sku", Text, primary_key=True),
        Column("on_hand", Integer, nullable=False),
        Column("reserved", Integer, nullable=False),
        Column("sold", Integer, nullable=False),
    ),
    initial=lambda sku: {"sku": sku, "on_hand": 0, "reserved": 0, "sold": 0},
)


def sku_of(recorded: Any) -> str:
    sku: str = recorded.event.sku
    return sku


@stock_levels.on(GoodsReceived, key=sku_of)
def received(row: Row, event: GoodsReceived, _: RecordedEvent) -> Row:
    return {**row, "on_hand": row["on_hand"] + event.quantity}


@stock_levels.on(GoodsReserved, key=sku_of)
def reserved(row: Row, event: GoodsReserved, _: RecordedEvent) -> Row:
    return {**row, "on_hand": row["on_hand"] - event.quantity, "reserved": row["reserved"] + event.quantity}


@stock_levels.on(GoodsReleased, key=sku_of)
def released(row: Row, event: GoodsReleased, _: RecordedEvent) -> Row:
    return {**row, "on_hand": row["on_hand"] + event.quantity, "reserved": row["reserved"] - event.quantity}


@stock_levels.on(GoodsSold, key=sku_of)
def sold(row: Row, event: GoodsSold, _: RecordedEvent) -> Row:
    return {**row, "reserved": row["reserved"] - event.quantity, "sold": row["sold"] + event.quantity}
