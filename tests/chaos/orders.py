"""The sagas of a campaign: real orders and returns, and every so often a parcel."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import count, cycle, islice
from typing import Any, NamedTuple

from msgspec.structs import replace

from sagaledger.domain.shop import OpenStock, Order, Return
from sagaledger.infrastructure.shop.order_import import SLICE, read_file, with_payment_method

from .schedule import Settings

PARCEL_EVERY = 2
STOCK_SHARE = Decimal("0.9")
"""How much of what the orders want is on the shelves: some go without, and turn back."""


class Wish(NamedTuple):
    """A saga to be started."""

    definition: str
    key: str
    value: Any


def wishes(settings: Settings) -> list[Wish]:
    """The campaign's sagas, the same for the same seed; the file's orders come again under new numbers when it ends."""
    return list(islice(_endless(settings), settings.sagas))


def opening_stock(wanted: list[Wish]) -> list[OpenStock]:
    """The commands that put the stock on the shelves."""
    demand: Counter[str] = Counter()
    for wish in wanted:
        if isinstance(wish.value, Order):
            for line in wish.value.lines:
                demand[line.sku] += line.quantity
    return [
        OpenStock(sku, int(pieces * STOCK_SHARE), source="campaign")
        for sku, pieces in sorted(demand.items())
        if int(pieces * STOCK_SHARE) > 0
    ]


def _endless(settings: Settings) -> Iterator[Wish]:
    invoices = _invoices(settings)
    chance = random.Random(settings.seed)  # noqa: S311 -- the same parcels in every run
    for number in count(1):
        if number % PARCEL_EVERY:
            yield next(invoices)
        else:
            key = f"P-{number}"
            yield Wish("send_parcel", key, {"parcel_id": key, "grams": chance.randint(1, 33_000)})


def _invoices(settings: Settings) -> Iterator[Wish]:
    read = read_file(settings.file or SLICE).invoices
    rate = Decimal(settings.decline_rate)
    for number, invoice in enumerate(cycle(read)):
        suffix = f".{number // len(read)}" if number >= len(read) else ""
        if isinstance(invoice, Return):
            key = invoice.return_id + suffix
            yield Wish("return_goods", key, replace(invoice, return_id=key))
        else:
            key = invoice.order_id + suffix
            order = replace(invoice, order_id=key)
            yield Wish("fulfil_order", key, with_payment_method(order, seed=settings.seed, rate=rate))
