"""Many orders for few articles with scarce stock, through the shop's sagas: goods and money are conserved."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import reduce
from random import Random
from uuid import uuid4

from sagaledger.domain.event import Event
from sagaledger.domain.recorded_event import Meta
from sagaledger.domain.saga.state import Status
from sagaledger.domain.shop import (
    DECLINED_CARD,
    INVENTORY,
    InventoryReleased,
    InventoryReserved,
    Order,
    OrderLine,
    PaymentRefunded,
    PaymentSucceeded,
    ReceiveStock,
    ShipmentCancelled,
    ShipmentPrepared,
    fulfil_order,
)
from sagaledger.infrastructure.event_store.append_call import AppendCall, Appended
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.stream_cache import StreamCache
from sagaledger.infrastructure.shop.app import APP

from .conftest import OpenLedger, play, worker_on

ARTICLES = ("71053", "85123A", "POST")
ORDERS = 300
PIECES = 150
PLACED = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)


def _orders(seed: int) -> list[Order]:
    """Returns orders of one to three articles, some of them paid by a card that is declined."""
    draw = Random(seed)  # noqa: S311 -- reproducible, not secret
    return [
        Order(
            str(number),
            PLACED,
            tuple(
                OrderLine(sku, draw.randint(1, 3), draw.randint(1, 900))
                for sku in draw.sample(ARTICLES, k=draw.randint(1, 3))
            ),
            customer_id=draw.choice(["17850", "13047", None]),
            payment_method=DECLINED_CARD if draw.random() < 0.2 else "card",
        )
        for number in range(ORDERS)
    ]


def _receive(ledger: Ledger, pieces: int) -> None:
    """Record a delivery from a process that is no worker, while workers write to the same articles."""
    stream_cache = StreamCache(ledger.app, ledger.backend, ledger.context.codec)
    for sku in ARTICLES:
        while True:

            def build(sku: str = sku):  # type: ignore[no-untyped-def]
                draft = stream_cache.draft("delivery-1", Meta())
                draft.handle([ReceiveStock(sku, pieces)], PLACED)
                return draft.append()

            (outcome,) = ledger.backend.append(AppendCall(uuid4(), stream_cache.build([build]))).outcomes
            if isinstance(outcome, Appended):
                break
            stream_cache.evict_all()


def _run(workers_on: list[Ledger], elsewhere: Ledger) -> Counter[Status]:
    """Work all orders, each worker its share, while deliveries arrive from another process."""

    async def scene() -> Counter[Status]:
        async with AsyncExitStack() as stack:
            workers = [await stack.enter_async_context(worker_on(ledger)) for ledger in workers_on]

            async def one(number: int, order: Order) -> Status:
                worker = workers[number % len(workers)]
                return (await worker.outcome((await worker.start(fulfil_order, order)).saga_id)).status

            async def deliver() -> None:
                for _ in range(5):
                    await asyncio.to_thread(_receive, elsewhere, PIECES // 5)

            delivered = asyncio.ensure_future(deliver())
            statuses = await asyncio.gather(*(one(number, order) for number, order in enumerate(_orders(7))))
            await delivered
            return Counter(statuses)

    return play(scene())


def _check_conservation(ledger: Ledger, statuses: Counter[Status]) -> None:
    assert set(statuses) == {Status.COMPLETED, Status.COMPENSATED}
    assert sum(statuses.values()) == ORDERS
    events = [ledger.context.codec.decode(row) for row in ledger.backend.read(0, limit=100_000)]
    # no stock was negative after any event, and what is left is what was received less what was shipped
    for sku in ARTICLES:
        states = [INVENTORY.initial]
        for recorded in events:
            if recorded.stream_id == f"stock-{sku}":
                states.append(INVENTORY.evolve(states[-1], recorded.event))
        assert min(state.available for state in states) >= 0
        assert states[-1].available == PIECES - _shipped(events, sku)
        kept = _pieces(events, InventoryReserved, sku) - _pieces(events, InventoryReleased, sku)
        assert kept == _shipped(events, sku)
    # and the money kept is that of the orders that were completed
    completed = {
        order.order_id
        for order in _orders(7)
        if ledger.state(f"fulfil_order-{order.order_id}").status is Status.COMPLETED
    }
    kept_minor = sum(r.event.amount_minor for r in events if isinstance(r.event, PaymentSucceeded)) - sum(
        r.event.amount_minor for r in events if isinstance(r.event, PaymentRefunded)
    )
    assert kept_minor == sum(order.total_minor for order in _orders(7) if order.order_id in completed)
    assert len(completed) == statuses[Status.COMPLETED]


def _pieces(events, kind: type[Event], sku: str) -> int:  # type: ignore[no-untyped-def]
    return sum(r.event.quantity for r in events if isinstance(r.event, kind) and r.event.sku == sku)


def _shipped(events, sku: str) -> int:  # type: ignore[no-untyped-def]
    def add(total: int, recorded: Event) -> int:
        if isinstance(recorded, ShipmentPrepared | ShipmentCancelled):
            sign = 1 if isinstance(recorded, ShipmentPrepared) else -1
            lines = recorded.lines if isinstance(recorded, ShipmentPrepared) else _prepared(events, recorded.order_id)
            return total + sign * sum(line.quantity for line in lines if line.sku == sku)
        return total

    return reduce(add, (recorded.event for recorded in events), 0)


def _prepared(events, order_id: str):  # type: ignore[no-untyped-def]
    return next(r.event.lines for r in events if isinstance(r.event, ShipmentPrepared) and r.event.order_id == order_id)


def test_scarce_goods_are_given_away_once(open_ledger: OpenLedger) -> None:
    """One worker, hundreds of orders at once, and deliveries that another process writes between them."""
    ledger, elsewhere = open_ledger(APP), open_ledger(APP)

    _check_conservation(ledger, _run([ledger], elsewhere))


def test_two_workers_give_scarce_goods_away_once(postgres_url: str) -> None:
    """Each decides against its own cache, and decides again where the other wrote first."""
    with (
        Ledger.open(postgres_url, APP, create=True) as one,
        Ledger.open(postgres_url, APP) as other,
        Ledger.open(postgres_url, APP) as elsewhere,
    ):
        _check_conservation(one, _run([one, other], elsewhere))
