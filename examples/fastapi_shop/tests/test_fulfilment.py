"""The saga of an order: what it does whichever step fails. No test here needs a database but those that ask for one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from webshop.fulfilment import Delivery, OrderedLine, PlacedOrder, app, fulfil, receive_delivery
from webshop.services import services
from webshop.simulated_services import simulated_services
from webshop.stock import GoodsReceived, stock

from sagaledger import (
    App,
    Direction,
    Ledger,
    PlannedSignal,
    Scenario,
    Status,
    StepRejected,
    WorkerThread,
    rehearse_each_failure,
)

SMALL = PlacedOrder("1", "ann", "valid", [OrderedLine("TEAPOT", 2, 1_500)])
LARGE = PlacedOrder("2", "ann", "valid", [OrderedLine("TEAPOT", 40, 1_500)])
CALLS: dict[str | tuple[str, Direction], Any] = {"charge": "receipt", "send_parcel": "parcel"}
REFUND: dict[str | tuple[str, Direction], Any] = {("charge", Direction.COMPENSATION): None}
SHELF = {"webshop_stock-TEAPOT": [GoodsReceived(datetime(2030, 1, 1, tzinfo=UTC), "TEAPOT", 50)]}


@pytest.fixture
def saga_app() -> App:
    """What the ledger of a test is opened with."""
    return app


@pytest.fixture
def real_services(tmp_path: Path) -> Iterator[None]:
    """The simulated services, over HTTP."""
    with simulated_services(tmp_path / "services.db") as services.url:
        yield


def test_a_small_order_needs_no_approval() -> None:
    """It is charged and sent."""
    scenario = Scenario(fulfil, participants=[stock]).given(SHELF, results=CALLS)
    scenario.when(SMALL).then(status=Status.COMPLETED, compensated=[])


def test_a_large_order_that_is_refused_is_never_charged() -> None:
    """No service was called by then."""
    refused = PlannedSignal("approval", refused=True, reason="a forgotten zero")
    scenario = Scenario(fulfil, participants=[stock]).given(SHELF, signals=[refused])
    scenario.when(LARGE).then(status=Status.COMPENSATED, called=[])


def test_whichever_step_is_refused_the_order_is_undone_before_the_pivot() -> None:
    """A parcel that cannot be sent is the pivot's failure: the money is given back."""
    failures = rehearse_each_failure(
        fulfil, SMALL, StepRejected("no"), results=CALLS | REFUND, participants=[stock], given=SHELF.items()
    )
    assert {step: rehearsal.state.status for step, rehearsal in failures} == dict.fromkeys(
        ("reserve_goods", "charge", "send_parcel"), Status.COMPENSATED
    )


@pytest.mark.usefixtures("real_services")
def test_stock_and_view_follow_the_order(saga_ledger: Ledger, saga_worker: WorkerThread) -> None:
    """With real calls: one order is sold, one has a card that is declined, and one wants too much."""
    saga_ledger.start(receive_delivery, Delivery("d", "TEAPOT", 10))
    saga_worker.idle()
    orders = {
        "sold": PlacedOrder("1", "ann", "valid", [OrderedLine("TEAPOT", 2, 100)]),
        "declined": PlacedOrder("2", "bob", "declined", [OrderedLine("TEAPOT", 3, 100)]),
        "too many": PlacedOrder("3", "cid", "valid", [OrderedLine("TEAPOT", 11, 100)]),
    }
    ended = {
        name: saga_worker.outcome(saga_ledger.start(fulfil, order).saga_id).status for name, order in orders.items()
    }
    head = saga_ledger.query("sagas").head_position

    rows = saga_ledger.query("stock_levels", wait_for=head, timeout_seconds=10).rows

    assert ended == {
        "sold": Status.COMPLETED,
        "declined": Status.COMPENSATED,
        "too many": Status.COMPENSATED,
    }
    assert rows == [{"sku": "TEAPOT", "on_hand": 8, "reserved": 0, "sold": 2}]
