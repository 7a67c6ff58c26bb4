"""A whole ledger on a backend that is nothing but the port: worker, views, audit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sagaledger import Ledger, NotSupported, Status, Worker
from sagaledger.domain.shop import Order, fulfil_order
from sagaledger.infrastructure.event_store.verify import verify
from sagaledger.infrastructure.ledger.view_operations import compare_view
from sagaledger.infrastructure.runtime.event_loop import run_async
from sagaledger.infrastructure.shop.app import APP
from sagaledger.infrastructure.shop.order_import import SLICE, read_file

from .backend import MemoryBackend


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """The shop's ledger, in memory."""
    with Ledger(MemoryBackend(), APP) as opened:
        yield opened


def test_orders_run_through_their_sagas_into_the_views(ledger: Ledger) -> None:
    """Without stock each order is cancelled; states, views and log agree, as they do on a real database."""
    orders = read_file(SLICE).orders[:5]

    states = run_async(_fulfil(ledger, orders))

    assert {state.status for state in states} == {Status.COMPENSATED}
    assert [row["status"] for row in ledger.query("orders").rows] == ["cancelled"] * 5
    assert ledger.query("sagas").as_of_position == ledger.backend.head().position
    assert compare_view(ledger.context, "sagas").count == 0
    assert verify(ledger.backend).ok


def test_it_says_that_no_other_process_can_open_it(ledger: Ledger) -> None:
    """There is no URL to a ledger in memory."""
    with pytest.raises(NotSupported, match="of this process alone"):
        _ = ledger.backend.url


async def _fulfil(ledger: Ledger, orders: tuple[Order, ...]) -> list:  # type: ignore[type-arg]
    async with Worker(ledger) as worker:
        started = [await worker.start(fulfil_order, order) for order in orders]
        states = [await worker.outcome(each.saga_id) for each in started]
    projector = ledger.projector()
    projector.catch_up()
    projector.stop()
    return states
