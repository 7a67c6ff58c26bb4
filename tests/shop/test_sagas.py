"""The shop's sagas over its participants: whatever fails, the goods and the money are accounted for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagaledger.domain.shop import (
    DECLINED_CARD,
    INVENTORY,
    LOYALTY,
    ORDER,
    InventoryReleased,
    InventoryReserved,
    ItemsRestocked,
    LoyaltyPointsAwarded,
    LoyaltyPointsDeducted,
    Order,
    OrderCancelled,
    OrderCompleted,
    OrderLine,
    PaymentFailed,
    PaymentRefunded,
    PaymentSucceeded,
    ReceiveStock,
    Return,
    ReturnCompleted,
    ReturnLine,
    ShipmentCancelled,
    ShipmentPrepared,
    StockReceived,
    fulfil_order,
    return_goods,
)
from sagaledger.domain.shop.choreographies import order_choreography, return_choreography

PLACED = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
LANTERNS = (OrderLine("71053", 6, 2034), OrderLine("85123A", 2, 510), OrderLine("71053", 1, 339))
STEPS = [step.name for step in fulfil_order.definition.steps]


def _order(order_id: str = "1", **changes: object) -> Order:
    return Order(**{"order_id": order_id, "placed_at": PLACED, "lines": LANTERNS, "customer_id": "17850", **changes})


def _stocked(shop, pieces: int = 100):
    opened = shop()
    opened.handle([ReceiveStock(sku, pieces) for sku in ("71053", "85123A")])
    return opened


def test_the_steps_are_those_of_the_published_flow() -> None:
    """The order and the names of the steps are part of every saga's record."""
    assert STEPS == ["reserve_inventory", "process_payment", "prepare_shipping", "award_loyalty_points"]
    steps = [(step.name, step.pivot) for step in return_goods.definition.steps]
    assert steps == [("restock_items", True), ("refund_payment", False), ("deduct_loyalty_points", False)]


def test_a_saga_is_named_by_its_invoice() -> None:
    """The business key makes the saga's id, so one invoice is one saga."""
    assert fulfil_order.definition.saga_id("536365") == "fulfil_order-536365"
    assert fulfil_order.definition.key(_order("536365")) == "536365"
    assert return_goods.definition.key(Return("C536379", PLACED, (ReturnLine("D", 1, 2750),))) == "C536379"


def test_an_order_is_fulfilled(shop) -> None:
    """An order with stock and money ends completed; lines of one article are reserved together."""
    # given a shop with stock
    opened = _stocked(shop)
    # when an order is placed
    assert opened.run(fulfil_order, _order())
    # then its goods are reserved by article and shipped, it is paid, and the customer has the points
    assert [(e.sku, e.quantity, e.part, e.parts) for e in opened.of(InventoryReserved)] == [
        ("71053", 7, 1, 2),
        ("85123A", 2, 2, 2),
    ]
    assert [e.amount_minor for e in opened.of(PaymentSucceeded)] == [2883]
    assert [e.points for e in opened.of(LoyaltyPointsAwarded)] == [28]
    assert opened.of(OrderCompleted)
    assert opened.state(ORDER, "1").status == "completed"


def test_a_declined_card_cancels_the_order(shop) -> None:
    """A declined payment releases what was reserved, and the order says why it was cancelled."""
    opened = _stocked(shop)
    assert not opened.run(fulfil_order, _order(payment_method=DECLINED_CARD))
    assert opened.of(PaymentFailed)
    assert len(opened.of(InventoryReleased)) == 2
    assert [e.reason for e in opened.of(OrderCancelled)] == ["payment declined"]


def test_one_article_short_reserves_none(shop) -> None:
    """A reservation is whole: when one article is short, nothing of the others is kept."""
    opened = shop()
    opened.handle([ReceiveStock("71053", 100), ReceiveStock("85123A", 1)])
    assert not opened.run(fulfil_order, _order())
    assert opened.of(InventoryReserved) == []
    assert opened.state(INVENTORY, "71053").available == 100


def test_a_guest_earns_no_points(shop) -> None:
    """An order without a customer completes, and no loyalty account is touched."""
    opened = _stocked(shop)
    assert opened.run(fulfil_order, _order(customer_id=None))
    assert opened.of(LoyaltyPointsAwarded) == []


@pytest.mark.parametrize("failing", STEPS)
def test_a_failure_at_any_step_undoes_the_steps_before_it(failing, shop) -> None:
    """Wherever an order fails, stock, money, parcel and points are as before it."""
    opened = _stocked(shop)
    assert not opened.run(fulfil_order, _order(), failing=failing)
    assert opened.state(INVENTORY, "71053").available == 100
    assert len(opened.of(PaymentSucceeded)) == len(opened.of(PaymentRefunded))
    assert len(opened.of(ShipmentPrepared)) == len(opened.of(ShipmentCancelled))
    assert opened.state(LOYALTY, "17850").points == 0
    assert opened.state(ORDER, "1").status == "cancelled"


def test_what_never_happened_is_not_undone() -> None:
    """A compensation without a result has nothing to undo: no command goes out."""
    for step in fulfil_order.definition.steps:
        assert step.undo is not None
        assert step.undo(_order(), None, None) == []


def test_a_return_may_take_points_below_zero(shop) -> None:
    """A return is refunded in full though nothing was bought, and the customer's points go below zero."""
    opened = shop()
    lines = (ReturnLine("D", 1, 2750), ReturnLine("D", 0, 0), ReturnLine("POST", 0, 0))
    assert opened.run(return_goods, Return("C1", PLACED, lines, "14527"))
    assert [(e.sku, e.quantity, e.part, e.parts) for e in opened.of(ItemsRestocked)] == [("D", 1, 1, 1)]
    assert [e.amount_minor for e in opened.of(PaymentRefunded)] == [2750]
    assert opened.state(LOYALTY, "14527").points == -27
    assert opened.of(ReturnCompleted)


articles = st.sampled_from(["A", "a", "B", "POST"])
quantities = st.integers(1, 9)
amounts = st.integers(0, 10_000)
customers = st.sampled_from(["17850", "13047", None])
lines = st.lists(st.builds(OrderLine, articles, quantities, amounts), min_size=1, max_size=5).map(tuple)
back = st.lists(st.builds(ReturnLine, articles, st.integers(0, 9), amounts), min_size=1, max_size=3).map(tuple)
orders = st.tuples(lines, customers, st.sampled_from(["card", DECLINED_CARD]), st.sampled_from([None, None, *STEPS]))


@given(
    placed=st.lists(orders, max_size=12),
    returned=st.lists(st.tuples(back, customers), max_size=4),
    pieces=st.integers(1, 30),
)
def test_goods_and_money_are_conserved(shop, placed, returned, pieces) -> None:
    """Over any orders, declines, shortages, failures and returns, every piece and every penny is somewhere."""
    # given a shop with scarce stock
    opened = shop()
    opened.handle([ReceiveStock(sku, pieces) for sku in ("A", "a", "B", "POST")])
    # when orders and returns come in, and some fail
    totals = 0
    for number, (order_lines, customer, method, failing) in enumerate(placed):
        order = _order(str(number), lines=order_lines, customer_id=customer, payment_method=method)
        totals += order.total_minor if opened.run(fulfil_order, order, failing=failing) else 0
    for number, (return_lines, customer) in enumerate(returned):
        given_back = Return(f"C{number}", PLACED, return_lines, customer)
        totals -= given_back.total_minor
        assert opened.run(return_goods, given_back)
    # then the money kept is that of the completed orders less the returns
    captured = sum(e.amount_minor for e in opened.of(PaymentSucceeded))
    refunded = sum(e.amount_minor for e in opened.of(PaymentRefunded))
    assert captured - refunded == totals
    # and every piece received is on hand or shipped, less those that came back
    for sku in ("A", "a", "B", "POST"):
        stock = sum(e.quantity for e in opened.of(StockReceived) if e.sku == sku)
        shipped = _pieces(opened.of(ShipmentPrepared), sku) - _pieces(opened.of(ShipmentCancelled), sku)
        came_back = sum(e.quantity for e in opened.of(ItemsRestocked) if e.sku == sku)
        assert stock == opened.state(INVENTORY, sku).available + shipped - came_back
    # and no stock was ever below zero, at any event
    for stream, events in opened.streams.items():
        stock_state = INVENTORY.initial
        for event in events if stream.startswith("stock-") else []:
            stock_state = INVENTORY.evolve(stock_state, event)
            assert stock_state.available >= 0
    # and the points are those of the orders less those of the returns
    points = sum(opened.state(LOYALTY, customer).points for customer in ("17850", "13047"))
    assert points == sum(e.points for e in opened.of(LoyaltyPointsAwarded)) - sum(
        e.points for e in opened.of(LoyaltyPointsDeducted)
    )


def _pieces(shipments, sku: str) -> int:
    return sum(line.quantity for shipment in shipments for line in shipment.lines if line.sku == sku)


def test_the_recorded_fingerprints_of_the_shop_never_change() -> None:
    """Ledgers have them on record: with another one no worker would take their sagas."""
    # of version 0.1.0, and of today
    assert fulfil_order.definition.fingerprints == {"259519fef13fb98e", "d425a551e3218761"}
    assert return_goods.definition.fingerprints == {"a3796a53173bcd79", "5020273104c56a8d"}
    assert order_choreography.fingerprint == "a55bbd2ec997315b"
    assert return_choreography.fingerprint == "c247670f6005a37e"
