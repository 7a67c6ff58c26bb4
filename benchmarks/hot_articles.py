"""Hot articles: orders at once that all want the same few articles, beside orders that share none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from random import Random
from uuid import uuid4

from sagaledger import Ledger, Worker
from sagaledger.domain.shop import INVENTORY, Order, OrderLine, StockReceived, fulfil_order
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall
from sagaledger.infrastructure.runtime.event_loop import run_async
from sagaledger.infrastructure.shop.app import APP as SHOP

from .findings import Findings
from .measuring import in_turn
from .setting import Setting
from .workload import see_through

AT_ONCE = 512
HOT_ARTICLES = 10
LINES = 3
PIECES = 1_000_000
STOCKED_PER_CALL = 1_000
PLACED_AT = datetime(2010, 12, 1, tzinfo=UTC)


def hot_articles(setting: Setting) -> Findings:
    """Measure how much of their speed orders keep when they compete for stock."""
    found = Findings()
    for backend in setting.backends:
        setting.say(f"{backend}: {AT_ONCE} orders at once on {HOT_ARTICLES} articles, and on articles of their own")
        contenders = {
            "hot": partial(_orders_per_second, setting, backend, _hot(setting.sizes.hot_orders)),
            "disjoint": partial(_orders_per_second, setting, backend, _disjoint(setting.sizes.hot_orders)),
        }
        rounds = in_turn(contenders, setting.sizes.rounds)
        for name in rounds:
            found.figures[f"orders_per_second_{backend}_{name}_articles"] = rounds.median(name)
        found.ratios[f"hot_vs_disjoint_articles_{backend}"] = rounds.ratio("hot", "disjoint")
    return found


def _hot(orders: int) -> list[Order]:
    drawn = Random(7)  # noqa: S311  # the same orders in every run
    articles = [f"hot-{number}" for number in range(HOT_ARTICLES)]
    return [_order(number, drawn.sample(articles, LINES)) for number in range(orders)]


def _disjoint(orders: int) -> list[Order]:
    return [_order(number, [f"own-{number}-{line}" for line in range(LINES)]) for number in range(orders)]


def _order(number: int, skus: Sequence[str]) -> Order:
    lines = tuple(OrderLine(sku, quantity=1, amount_minor=250) for sku in skus)
    return Order(f"order-{number}", PLACED_AT, lines, customer_id=f"customer-{number}")


def _orders_per_second(setting: Setting, backend: str, orders: Sequence[Order]) -> float:
    async def run() -> float:
        with Ledger.open(setting.databases.fresh(backend), SHOP, create=True) as ledger:
            _stock(ledger, orders)
            async with Worker(ledger, project=False) as worker:
                ran = await see_through(worker, ((fulfil_order, order) for order in orders), AT_ONCE)
                return ran.sagas_per_second

    return run_async(run())


def _stock(ledger: Ledger, orders: Sequence[Order]) -> None:
    """Stock every article with enough pieces, so that no order fails."""
    skus = sorted({line.sku for order in orders for line in order.lines})
    for begin in range(0, len(skus), STOCKED_PER_CALL):
        received = [
            ledger.context.codec.encode(f"{INVENTORY.category}-{sku}", 1, StockReceived(PLACED_AT, sku, PIECES))
            for sku in skus[begin : begin + STOCKED_PER_CALL]
        ]
        ledger.backend.append(AppendCall(uuid4(), [Append(received)]))
