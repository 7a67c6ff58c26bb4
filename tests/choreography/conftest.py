"""A shop whose services react to each other, on a real ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sagaledger.domain.shop import DECLINED_CARD, Order, OrderLine, ReceiveStock, Return, ReturnLine
from sagaledger.domain.shop.services import place
from sagaledger.infrastructure.choreography.in_process_bus import InProcessBus
from sagaledger.infrastructure.choreography.start import start_processes
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.shop.app import APP

from ..prepared_ledgers import Create, create_shop
from .processes import Nats

NOON = datetime(2010, 12, 1, 12, tzinfo=UTC)


def order(order_id: str, *lines: tuple[str, int], customer_id: str | None = "c1", declined: bool = False) -> Order:
    """Returns an order at 2.50 a piece, by default of two pieces of one article."""
    wanted = tuple(OrderLine(sku, quantity, 250 * quantity) for sku, quantity in lines or (("sku1", 2),))
    method = DECLINED_CARD if declined else "card"
    return Order(order_id, NOON, wanted, customer_id, "France", payment_method=method)


def returned(return_id: str, quantity: int = 1, customer_id: str | None = "c1") -> Return:
    """Returns a return of some pieces of one article."""
    return Return(return_id, NOON, (ReturnLine("sku1", quantity, 250 * quantity),), customer_id, "France")


class Shop:
    """A shop on a ledger: invoices start processes, services react, and views follow."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.bus = InProcessBus(ledger)

    def stock(self, **pieces: int) -> None:
        """Put pieces of articles on stock."""
        for sku, quantity in pieces.items():
            start_processes(self.ledger, [(f"delivery-{sku}", ReceiveStock(sku, quantity))], actor="test")

    def place(self, *invoices: Order | Return) -> int:
        """Start their processes; returns how many were new."""
        return start_processes(self.ledger, [place(invoice) for invoice in invoices], actor="test")

    def drain(self) -> None:
        """Let the services react to everything, and bring the views to the head."""
        self.bus.drain(timeout_seconds=30)
        self.follow()

    def follow(self) -> None:
        """Bring the views to the head."""
        projector = self.ledger.projector()
        projector.catch_up()
        projector.stop()

    def topics(self, process_id: str) -> list[str]:
        """Returns the stored names of a process's events, in order."""
        return [row.topic for row in self.ledger.backend.correlated(process_id)]


@pytest.fixture(scope="session")
def created_by() -> Create:
    """What creates ledgers of the shop: no test here is about their creation."""
    return create_shop


@pytest.fixture
def shop(url: str) -> Iterator[Shop]:
    """A shop with enough stock, on each backend."""
    with Ledger.open(url, APP, create=True) as ledger:
        shop = Shop(ledger)
        shop.stock(sku1=100, sku2=100)
        yield shop


@pytest.fixture
def sqlite_shop(sqlite_url: str) -> Iterator[Shop]:
    """A shop with enough stock, in a SQLite file."""
    with Ledger.open(sqlite_url, APP) as ledger:
        shop = Shop(ledger)
        shop.stock(sku1=100, sku2=100)
        yield shop


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Nats]:
    """A NATS server."""
    server = Nats(tmp_path)
    server.start()
    yield server
    server.kill()


MakeOrder = Callable[..., Order]
