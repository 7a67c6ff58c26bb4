"""A person cancels a process: each service receives that event, and undoes what it did."""

from __future__ import annotations

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagaledger.domain.choreography.service import Service
from sagaledger.domain.saga.state import Status
from sagaledger.domain.shop.services import SERVICES
from sagaledger.infrastructure.choreography.in_process_bus import InProcessBus
from sagaledger.infrastructure.choreography.subscription import Subscription
from sagaledger.infrastructure.errors import SagaNotFound, WrongState
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.shop.app import APP

from .conftest import Shop, order, returned

ROUNDS_MAX = 120
UNDOING = ["InventoryReleased", "LoyaltyPointsDeducted", "PaymentRefunded", "ShipmentCancelled"]


def _without(*names: str) -> list[Service]:
    return [service for service in SERVICES if service.name not in names]


def _untouched(shop: Shop) -> None:
    """Requires that no goods, money, parcels or points are left with the customer."""
    for row in shop.ledger.query("inventory").rows:
        assert (row["on_hand"], row["reserved"], row["shipped"]) == (100, 0, 0)
    assert all(row["captured_minor"] == row["refunded_minor"] for row in shop.ledger.query("payments").rows)
    assert {row["status"] for row in shop.ledger.query("shipments").rows} <= {"cancelled"}
    assert {row["points"] for row in shop.ledger.query("loyalty").rows} <= {0}


def test_a_cancelled_order_is_undone_by_every_service(shop: Shop) -> None:
    """The order is cancelled after its last step; the order service sees both events, and does not complete it."""
    shop.place(order("1"))
    InProcessBus(shop.ledger, _without("order")).drain(timeout_seconds=30)

    shop.ledger.cancel("order_flow-1", actor="ann", reason="the customer called")
    shop.drain()

    topics = shop.topics("order_flow-1")
    assert topics[4:6] == ["LoyaltyPointsAwarded", "OrderCancelled"]
    assert sorted(topics[6:]) == sorted([*UNDOING, "Abstained"])
    state = shop.ledger.state("order_flow-1")
    assert (state.status, state.cause) == (Status.COMPENSATED, "the customer called")
    assert shop.ledger.query("findings").rows == shop.ledger.query("dead_letters").rows == []
    _untouched(shop)


def test_a_step_that_had_not_begun_is_not_begun(shop: Shop) -> None:
    """The order is cancelled before any service has seen it."""
    shop.place(order("1"))
    shop.ledger.cancel("order_flow-1", actor="ann", reason="the customer called")

    shop.drain()

    assert shop.ledger.state("order_flow-1").status is Status.COMPENSATED
    [row] = shop.ledger.query("sagas").rows
    assert (row["status"], row["failed_step"], row["findings"]) == ("compensated", None, 0)
    _untouched(shop)


def test_the_log_says_who_cancelled_an_order_and_why(shop: Shop) -> None:
    """The event bears the actor, as that of an orchestrated saga does, and the views equal their events."""
    shop.place(order("1"))
    position = shop.ledger.cancel("order_flow-1", actor="ann", reason="the customer called")
    status = shop.ledger.state("order_flow-1").status
    shop.drain()

    [cancelled] = [each for each in shop.ledger.history("order_flow-1") if each.position == position][:1]

    assert status is Status.COMPENSATING
    assert (cancelled.meta.actor, cancelled.event.schema.name) == ("ann", "OrderCancelled")
    for view in ("sagas", "saga_steps", "interventions"):
        assert drift(shop.ledger.context.queries, shop.ledger.backend, shop.ledger.context.codec, view).count == 0


def test_a_process_that_cannot_be_cancelled_is_left_alone(shop: Shop) -> None:
    """The error says why: it has ended, turns back already, declares no command, or does not exist."""
    shop.place(order("1"), order("2"), returned("C3"))
    shop.ledger.cancel("order_flow-2", actor="ann", reason="the customer called")

    with pytest.raises(WrongState, match="already turning back"):
        shop.ledger.cancel("order_flow-2", actor="ann", reason="again")
    shop.drain()
    with pytest.raises(WrongState, match="it is completed"):
        shop.ledger.cancel("order_flow-1", actor="ann", reason="too late")
    shop.place(returned("C4"))
    with pytest.raises(WrongState, match="declares no command"):
        shop.ledger.cancel("return_flow-C4", actor="ann", reason="test")
    with pytest.raises(SagaNotFound):
        shop.ledger.cancel("order_flow-9", actor="ann", reason="test")
    with pytest.raises(WrongState, match="choreographed"):
        shop.ledger.intervene("order_flow-1", "retry", actor="ann", reason="test")


@given(seed=st.integers(0, 2**32))
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_order_may_be_cancelled_at_any_moment(seed: int) -> None:
    """Whatever each service has seen by then, the order is either completed, or undone completely."""
    random = Random(seed)  # noqa: S311  # an interleaving that can be repeated
    with TemporaryDirectory() as folder:
        shop = Shop(Ledger.open(f"sqlite:///{Path(folder) / 'ledger.db'}", APP))
        shop.stock(sku1=100, sku2=100)
        shop.place(*(order(key, ("sku1", 1), ("sku2", 1), declined=key == "3") for key in "123"))
        subscriptions = [Subscription(shop.ledger.context, service) for service in APP.services.values()]
        to_cancel = {random.randrange(ROUNDS_MAX // 2): f"order_flow-{key}" for key in "123"}
        late: set[str] = set()
        for each in range(ROUNDS_MAX):
            random.choice(subscriptions).step()
            if each in to_cancel:
                try:
                    shop.ledger.cancel(to_cancel[each], actor="ann", reason="the customer called")
                except WrongState:
                    late.add(to_cancel[each])

        InProcessBus(shop.ledger).drain(timeout_seconds=30)
        shop.follow()

        assert shop.ledger.query("findings").rows == shop.ledger.query("dead_letters").rows == []
        rows = {row["saga_id"]: row["status"] for row in shop.ledger.query("sagas").rows}
        completed = {saga_id for saga_id, status in rows.items() if status == "completed"}
        assert set(rows.values()) <= {"completed", "compensated"}
        assert completed <= late | (rows.keys() - set(to_cancel.values()))
        payments = shop.ledger.query("payments").rows
        assert sum(row["captured_minor"] - row["refunded_minor"] for row in payments) == 500 * len(completed)
        for row in shop.ledger.query("inventory").rows:
            assert (row["on_hand"], row["reserved"], row["shipped"]) == (100 - len(completed), 0, len(completed))
        assert sum(row["status"] == "prepared" for row in shop.ledger.query("shipments").rows) == len(completed)
        shop.ledger.close()
