"""Any interleaving and duplication of deliveries gives the same final state."""

from __future__ import annotations

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagaledger.infrastructure.choreography.in_process_bus import InProcessBus
from sagaledger.infrastructure.choreography.nats.cloud_events import EventNotice
from sagaledger.infrastructure.choreography.nats.inbox import NatsInbox
from sagaledger.infrastructure.choreography.subscription import Subscription
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.shop.app import APP

from .conftest import Shop, order, returned

ROUNDS_MAX = 400
SEEDS = st.integers(0, 2**32)
EXAMPLES = settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LEFT_OUT = ("updated_at", "closed_at", "prepared_at", "cancelled_at", "reason")
"""Times differ, and so does the text of a refusal, which says how much stock there was at that moment."""
VIEWS = ("orders", "inventory", "payments", "shipments", "loyalty")


def _busy_shop(folder: str) -> Shop:
    """Returns a shop with orders of every outcome, none of which competes with another for goods."""
    shop = Shop(Ledger.open(f"sqlite:///{Path(folder) / 'ledger.db'}", APP))
    shop.stock(sku1=100, sku2=100)
    shop.place(
        order("1"),
        order("2", ("sku1", 1), ("sku2", 1), declined=True),
        order("3", ("sku2", 500)),
        order("4", customer_id=None),
        returned("C5"),
    )
    return shop


def _final_state(shop: Shop) -> dict[str, Any]:
    shop.follow()
    rows = {view: shop.ledger.query(view).rows for view in VIEWS}
    state: dict[str, Any] = {
        view: [{name: value for name, value in row.items() if name not in LEFT_OUT} for row in found]
        for view, found in rows.items()
    }
    state["sagas"] = {row["saga_id"]: (row["status"], row["findings"]) for row in shop.ledger.query("sagas").rows}
    assert shop.ledger.query("dead_letters").rows == []
    return state


def _expected() -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        shop = _busy_shop(folder)
        shop.bus.drain(timeout_seconds=30)
        state = _final_state(shop)
        shop.ledger.close()
        return state


EXPECTED: dict[str, Any] = {}


def _same_as_undisturbed(shop: Shop) -> None:
    if not EXPECTED:
        EXPECTED.update(_expected())
    assert _final_state(shop) == EXPECTED


@given(seed=SEEDS)
@EXAMPLES
def test_services_may_take_their_turns_in_any_order_and_come_back_at_any_time(seed: int) -> None:
    """Two instances of each service follow the log, and some of them are replaced by a new instance."""
    random = Random(seed)  # noqa: S311  # deliveries that can be repeated
    with TemporaryDirectory() as folder:
        shop = _busy_shop(folder)
        services = list(APP.services.values()) * 2
        subscriptions = [Subscription(shop.ledger.context, service) for service in services]
        for _ in range(ROUNDS_MAX):
            at = random.randrange(len(subscriptions))
            if random.random() < 0.1:
                subscriptions[at] = Subscription(shop.ledger.context, services[at])
            subscriptions[at].step()

        InProcessBus(shop.ledger).drain(timeout_seconds=30)

        _same_as_undisturbed(shop)
        shop.ledger.close()


@given(seed=SEEDS, lost=st.sampled_from([0.0, 0.2]))
@EXAMPLES
def test_a_broker_may_deliver_late_twice_and_in_any_order(seed: int, lost: float) -> None:
    """The log makes up for the messages that it loses."""
    random = Random(seed)  # noqa: S311  # deliveries that can be repeated
    with TemporaryDirectory() as folder:
        shop = _busy_shop(folder)
        inboxes = [NatsInbox(shop.ledger.context, service) for service in APP.services.values() for _ in range(2)]
        for _ in range(ROUNDS_MAX):
            inbox = random.choice(inboxes)
            kept = [notice for notice in _notices(shop) if _draw(seed, notice) >= lost]
            inbox.receive(random.choices(kept, k=random.randint(1, 4)))

        InProcessBus(shop.ledger).drain(timeout_seconds=30)

        _same_as_undisturbed(shop)
        shop.ledger.close()


def _draw(seed: int, notice: EventNotice) -> float:
    return Random(f"{seed}:{notice.position}").random()  # noqa: S311  # as above


def _notices(shop: Shop) -> list[EventNotice]:
    """Returns a notice of every choreographed event."""
    rows = shop.ledger.backend.read(0, limit=5_000)
    return [
        EventNotice(row.position, row.topic, row.correlation_id, row.state)
        for row in rows
        if row.correlation_id is not None and APP.choreography_of(row.correlation_id) is not None
    ]
