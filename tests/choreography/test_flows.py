"""Orders and returns through services that react to each other, on both backends."""

from __future__ import annotations

import pytest

from sagaledger.domain.saga.evolve import rebuild
from sagaledger.domain.saga.state import Status
from sagaledger.domain.shop.choreographies import order_choreography
from sagaledger.infrastructure.choreography.in_process_bus import InProcessBus
from sagaledger.infrastructure.errors import SagaConflict
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.saga_deriver import process_history

from .conftest import Shop, order, returned

FORWARD = ["OrderCreated", "InventoryReserved", "PaymentSucceeded", "ShipmentPrepared"]


def test_an_order_goes_from_service_to_service_until_it_is_completed(shop: Shop) -> None:
    """Each service reacts to the event of the one before."""
    shop.place(order("1"))

    shop.drain()

    assert shop.topics("order_flow-1") == [*FORWARD, "LoyaltyPointsAwarded", "OrderCompleted"]
    assert shop.ledger.state("order_flow-1").status is Status.COMPLETED


def test_a_guest_earns_no_points_and_the_service_says_so(shop: Shop) -> None:
    """The order is completed by that event."""
    shop.place(order("1", customer_id=None))

    shop.drain()

    assert shop.topics("order_flow-1") == [*FORWARD, "Abstained", "OrderCompleted"]


def test_a_declined_payment_cancels_the_order_and_every_service_undoes_what_it_did(shop: Shop) -> None:
    """A service with nothing to undo records that; the saga ends when the last piece is free again."""
    shop.place(order("1", ("sku1", 2), ("sku2", 3), declined=True))

    shop.drain()

    topics = shop.topics("order_flow-1")
    assert topics[:5] == ["OrderCreated", "InventoryReserved", "InventoryReserved", "PaymentFailed", "OrderCancelled"]
    assert sorted(topics[5:]) == ["Abstained"] * 3 + ["InventoryReleased"] * 2
    state = shop.ledger.state("order_flow-1")
    assert (state.status, state.cause) == (Status.COMPENSATED, "payment declined")
    [row] = shop.ledger.query("inventory", where={"sku": "sku1"}).rows
    assert (row["on_hand"], row["reserved"]) == (100, 0)


def test_an_order_for_more_than_there_is_reserves_nothing(shop: Shop) -> None:
    """Either every article is reserved, or none."""
    shop.place(order("1", ("sku1", 2), ("sku2", 101)))

    shop.drain()

    assert shop.topics("order_flow-1")[:3] == ["OrderCreated", "InventoryReservationFailed", "OrderCancelled"]
    assert shop.ledger.state("order_flow-1").status is Status.COMPENSATED
    assert [row["on_hand"] for row in shop.ledger.query("inventory").rows] == [100, 100]


@pytest.mark.parametrize(("quantity", "customer_id", "skipped"), [(1, "c1", 0), (0, "c1", 2), (1, None, 1)])
def test_a_return_is_restocked_refunded_and_its_points_deducted(
    shop: Shop, quantity: int, customer_id: str | None, skipped: int
) -> None:
    """A service with nothing to do records that, and the next one goes on."""
    shop.place(returned("C1", quantity, customer_id))

    shop.drain()

    topics = shop.topics("return_flow-C1")
    assert (topics[0], topics[-1], topics.count("Abstained")) == ("ReturnRequested", "ReturnCompleted", skipped)
    assert shop.ledger.state("return_flow-C1").status is Status.COMPLETED


def test_placing_an_order_again_changes_nothing(shop: Shop) -> None:
    """A process begins once."""
    assert shop.place(order("1")) == 1
    shop.drain()
    before = shop.ledger.backend.head().position

    assert shop.place(order("1"), order("1")) == 0
    shop.drain()

    assert shop.ledger.backend.head().position == before


def test_an_order_of_the_other_style_is_not_begun_twice(shop: Shop) -> None:
    """The order belongs to the process that created it."""
    shop.ledger.start("fulfil_order", order("1"))

    with pytest.raises(SagaConflict, match="another process began with it"):
        shop.place(order("1"))


def test_services_leave_the_events_of_orchestrated_sagas_alone(shop: Shop) -> None:
    """Both styles share one log, and each effect happens once."""
    shop.ledger.start("fulfil_order", order("1"))
    before = shop.ledger.backend.head().position

    shop.drain()

    assert shop.ledger.backend.head().position == before


def test_two_instances_of_each_service_handle_each_event_once(shop: Shop) -> None:
    """The slower instance finds the position moved, and goes on from there."""
    shop.place(*(order(str(number)) for number in range(20)))
    buses = [InProcessBus(shop.ledger), InProcessBus(shop.ledger)]

    while sum(bus.run_once() for bus in buses):
        pass
    shop.follow()

    assert {row["status"] for row in shop.ledger.query("sagas").rows} == {"completed"}
    [row] = shop.ledger.query("inventory", where={"sku": "sku1"}).rows
    assert (row["on_hand"], row["shipped"]) == (60, 40)


def test_the_views_treat_a_choreographed_saga_like_any_other(shop: Shop) -> None:
    """Its rows are there, and no view drifts from its events."""
    shop.place(order("1"), order("2", declined=True))

    shop.drain()

    rows = {row["saga_id"]: row for row in shop.ledger.query("sagas").rows}
    assert {row["style"] for row in rows.values()} == {"choreographed"}
    assert [rows[f"order_flow-{key}"]["status"] for key in "12"] == ["completed", "compensated"]
    assert rows["order_flow-2"]["error"] == "PaymentFailed: payment declined"
    steps = shop.ledger.query("saga_steps", where={"saga_id": "order_flow-2"}, order=("started_at", "direction")).rows
    assert {(row["step"], row["direction"], row["status"]) for row in steps} == {
        ("reserve_inventory", "forward", "succeeded"),
        ("process_payment", "forward", "failed"),
        ("reserve_inventory", "compensation", "succeeded"),
    }
    ledger = shop.ledger
    for view in ("sagas", "saga_steps", "interventions", "findings", "dead_letters", "orders"):
        assert drift(ledger.context.queries, ledger.backend, ledger.context.codec, view).count == 0


def test_a_past_state_of_a_choreographed_saga_is_the_fold_of_its_first_events(shop: Shop) -> None:
    """At a version it is the fold of as many; at a position, of those that the events up to there mean."""
    shop.place(order("1", declined=True))
    shop.drain()
    events = shop.ledger.history("order_flow-1", participants=False)
    rows = [shop.ledger.context.codec.decode(row) for row in shop.ledger.backend.correlated("order_flow-1")]

    versions = [shop.ledger.state("order_flow-1", f"v{at}").version for at in range(1, len(events) + 1)]

    assert versions == [event.version for event in events] == list(range(1, len(events) + 1))
    assert shop.ledger.state("order_flow-1", events[0].recorded_at).status is Status.RUNNING
    for position in range(rows[0].position, rows[-1].position + 1):
        derived = process_history(order_choreography, "order_flow-1", [row for row in rows if row.position <= position])
        own = [each.event for each in derived if each.stream_id == "order_flow-1"]
        assert shop.ledger.history("order_flow-1", at=f"@{position}") == derived
        assert shop.ledger.state("order_flow-1", at=f"@{position}") == rebuild("order_flow-1", own)
    for event in events:
        until = shop.ledger.history("order_flow-1", at=f"v{event.version}")
        assert [each.version for each in until if each.stream_id == "order_flow-1"][-1] == event.version
        assert until[-1].position == event.position


def test_a_view_that_follows_one_event_at_a_time_is_the_same(shop: Shop) -> None:
    """The state that is kept between batches is only a cache."""
    shop.place(order("1"), order("2", declined=True))
    shop.bus.drain()
    slow = Projector(shop.ledger.backend, shop.ledger.context.codec, shop.ledger.app.projections, batch_events_max=1)
    slow.catch_up()
    slow.stop()

    ledger = shop.ledger
    assert drift(ledger.context.queries, ledger.backend, ledger.context.codec, "sagas").count == 0
    assert drift(ledger.context.queries, ledger.backend, ledger.context.codec, "saga_steps").count == 0


def test_waiting_for_a_choreographed_saga_ends_with_it(shop: Shop) -> None:
    """Waiting works as it does for an orchestrated saga."""
    shop.place(order("1"))
    shop.bus.start()
    try:
        state = shop.ledger.wait("order_flow-1", 20)
    finally:
        shop.bus.stop()

    assert state.status is Status.COMPLETED
