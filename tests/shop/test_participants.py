"""What each participant decides: given these events, when this command comes, then these events or this refusal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sagaledger.domain.event import Event, Registry
from sagaledger.domain.participant import Command, Participant, Refused
from sagaledger.domain.shop import (
    DECLINED_CARD,
    IMPORT_JOB,
    INVENTORY,
    LOYALTY,
    ORDER,
    PARTICIPANTS,
    PAYMENT,
    RETURNS,
    SHIPPING,
    AwardLoyaltyPoints,
    CancelOrder,
    CancelShipment,
    CapturePayment,
    CompleteOrder,
    CompleteReturn,
    CreateOrder,
    DeductLoyaltyPoints,
    ImportParameters,
    ImportStarted,
    InventoryReleased,
    InventoryReservationFailed,
    InventoryReserved,
    ItemsRestocked,
    LoyaltyPointsAwarded,
    LoyaltyPointsDeducted,
    OpenStock,
    OrderCancelled,
    OrderCompleted,
    OrderCreated,
    PaymentFailed,
    PaymentRefunded,
    PaymentSucceeded,
    PrepareShipment,
    Quantity,
    ReceiveStock,
    RefundPayment,
    RefundReturn,
    ReleaseInventory,
    RequestReturn,
    ReserveInventory,
    RestockItems,
    ReturnCompleted,
    ReturnRequested,
    ShipmentCancelled,
    ShipmentPrepared,
    StartImport,
    StockReceived,
    import_key,
    tracking_number,
)

AT = datetime(2010, 12, 1, 12, tzinfo=UTC)
PLACED = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
LINES = (Quantity("85123A", 6), Quantity("71053", 2))
RATES = ImportParameters("ab" * 32, seed=7, decline_rate="0.1", opening_stock=None)
OTHER_SEED = ImportParameters("ab" * 32, seed=8, decline_rate="0.1", opening_stock=None)

created = OrderCreated(AT, "1", "17850", "France", 2, 1530, "GBP", PLACED)
completed = OrderCompleted(AT, "1")
cancelled = OrderCancelled(AT, "1", "payment declined")
create = CreateOrder("1", "17850", "France", 2, 1530, "GBP", PLACED)
received = StockReceived(AT, "A", 10)
opened = StockReceived(AT, "A", 10, "file")
reserved = InventoryReserved(AT, "1", "A", 4, 1, 1)
paid = PaymentSucceeded(AT, "1", "1", "17850", 1530, "GBP")
declined = PaymentFailed(AT, "1", "1", "17850", 1530, "GBP", "payment declined")
refunded = PaymentRefunded(AT, "1", "1", "17850", 1530, "GBP")
free = PaymentSucceeded(AT, "1", "1", None, 0, "GBP")
capture = CapturePayment("1", "17850", 1530, "GBP", "card")
repaid = PaymentRefunded(AT, "C1", "C1", None, 900, "GBP")
prepared = ShipmentPrepared(AT, "1", tracking_number("1"), LINES)
unpacked = ShipmentCancelled(AT, "1", LINES)
awarded = LoyaltyPointsAwarded(AT, "17850", "1", 15)
deducted = LoyaltyPointsDeducted(AT, "17850", "1", 15)
requested = ReturnRequested(AT, "C1", None, "France", 1, 900, "GBP", PLACED)
settled = ReturnCompleted(AT, "C1")
request = RequestReturn("C1", None, "France", 1, 900, "GBP", PLACED)
begun = ImportStarted(AT, "orders.csv", "ab" * 32, 9, 7, "0.1")

ACCEPTED: list[tuple[Participant[Any], list[Event], Command, list[Event]]] = [
    (ORDER, [], create, [created]),
    (ORDER, [created], CompleteOrder("1"), [completed]),
    (ORDER, [created], CancelOrder("1", "payment declined"), [cancelled]),
    (ORDER, [created, completed], CompleteOrder("1"), []),
    (ORDER, [created, cancelled], CancelOrder("1", "again"), []),
    (INVENTORY, [], ReceiveStock("A", 10), [received]),
    (INVENTORY, [], OpenStock("A", 10, "file"), [opened]),
    (INVENTORY, [opened, reserved], OpenStock("A", 10, "file"), []),
    (INVENTORY, [opened], OpenStock("A", 5, "other file"), [StockReceived(AT, "A", 5, "other file")]),
    (INVENTORY, [received], ReserveInventory("1", "A", 4), [reserved]),
    (INVENTORY, [received, reserved], ReserveInventory("2", "A", 6, 2, 3), [InventoryReserved(AT, "2", "A", 6, 2, 3)]),
    (INVENTORY, [received, reserved], ReleaseInventory("1", "A", 4), [InventoryReleased(AT, "1", "A", 4)]),
    (INVENTORY, [], RestockItems("C1", "A", 3, 1, 2), [ItemsRestocked(AT, "C1", "A", 3, 1, 2)]),
    (PAYMENT, [], capture, [paid]),
    (PAYMENT, [declined], capture, [paid]),
    (PAYMENT, [], CapturePayment("1", None, 0, "GBP", "card"), [free]),
    (PAYMENT, [paid], RefundPayment("1", "17850", 1530, "GBP"), [refunded]),
    (PAYMENT, [free], RefundPayment("1", None, 0, "GBP"), [PaymentRefunded(AT, "1", "1", None, 0, "GBP")]),
    (PAYMENT, [], RefundReturn("C1", None, 900, "GBP"), [repaid]),
    (PAYMENT, [repaid], RefundReturn("C1", None, 900, "GBP"), []),
    (SHIPPING, [], PrepareShipment("1", LINES), [prepared]),
    (SHIPPING, [prepared], CancelShipment("1"), [unpacked]),
    (SHIPPING, [prepared, unpacked], CancelShipment("1"), []),
    (LOYALTY, [], AwardLoyaltyPoints("17850", "1", 15), [awarded]),
    (LOYALTY, [awarded], DeductLoyaltyPoints("17850", "1", 15), [deducted]),
    (LOYALTY, [], DeductLoyaltyPoints("17850", "1", 15), [deducted]),
    (LOYALTY, [], AwardLoyaltyPoints("17850", "1", 0), []),
    (LOYALTY, [], DeductLoyaltyPoints("17850", "1", 0), []),
    (RETURNS, [], request, [requested]),
    (RETURNS, [requested], CompleteReturn("C1"), [settled]),
    (RETURNS, [requested, settled], CompleteReturn("C1"), []),
    (IMPORT_JOB, [], StartImport("orders.csv", 9, RATES), [begun]),
    (IMPORT_JOB, [begun], StartImport("copy.csv", 9, RATES), []),
]

REFUSED: list[tuple[Participant[Any], list[Event], Command, str, list[Event]]] = [
    (ORDER, [created], create, "is pending", []),
    (ORDER, [], CompleteOrder("1"), "is absent", []),
    (ORDER, [created, cancelled], CompleteOrder("1"), "is cancelled", []),
    (ORDER, [created, completed], CancelOrder("1", "late"), "is completed", []),
    (
        INVENTORY,
        [received, reserved],
        ReserveInventory("2", "A", 7),
        "insufficient stock: order 2 wants 7 of article A, 6 available",
        [InventoryReservationFailed(AT, "2", "A", 7, 6)],
    ),
    (INVENTORY, [received], ReserveInventory("2", "A", -1), "at least 1", []),
    (INVENTORY, [], ReceiveStock("A", 0), "at least 1", []),
    (PAYMENT, [], CapturePayment("1", "17850", 1530, "GBP", DECLINED_CARD), "payment declined", [declined]),
    (PAYMENT, [paid], capture, "cannot be captured again", []),
    (PAYMENT, [paid, refunded], capture, "cannot be captured again", []),
    (PAYMENT, [paid, refunded], RefundPayment("1", "17850", 1530, "GBP"), "0 left to refund", []),
    (PAYMENT, [paid], RefundPayment("1", "17850", 1531, "GBP"), "1530 left to refund", []),
    (PAYMENT, [declined], RefundPayment("1", "17850", 1530, "GBP"), "never captured", []),
    (PAYMENT, [paid], RefundReturn("1", None, 1, "GBP"), "is an order's", []),
    (PAYMENT, [paid], RefundPayment("1", None, -1, "GBP"), "cannot be negative", []),
    (SHIPPING, [prepared], PrepareShipment("1", LINES), "cannot be prepared twice", []),
    (SHIPPING, [], CancelShipment("1"), "nothing to cancel", []),
    (LOYALTY, [], AwardLoyaltyPoints("17850", "1", -1), "cannot be negative", []),
    (RETURNS, [requested], request, "is requested", []),
    (RETURNS, [], CompleteReturn("C1"), "is absent", []),
    (IMPORT_JOB, [begun], StartImport("orders.csv", 9, OTHER_SEED), "begun here with seed 7", []),
]


def _named(case: tuple[Any, ...]) -> str:
    participant, given, command = case[:3]
    history = "+".join(type(event).__name__ for event in given) or "nothing"
    return f"{participant.category}: {history} -> {type(command).__name__}"


@pytest.mark.parametrize(("participant", "given", "command", "then"), ACCEPTED, ids=map(_named, ACCEPTED))
def test_a_command_leads_to_events(participant, given, command, then, decided) -> None:
    """A command that applies to a stream's state leads to its events; one that is already done, to none."""
    assert list(decided(participant, given, command)) == then


@pytest.mark.parametrize(("participant", "given", "command", "says", "facts"), REFUSED, ids=map(_named, REFUSED))
def test_a_command_is_refused(participant, given, command, says, facts, decided) -> None:
    """A command that a stream's state forbids is refused: it says why, and carries the facts to record."""
    with pytest.raises(Refused, match=says) as refused:
        decided(participant, given, command)
    assert list(refused.value.events) == facts


def test_every_event_reads_back_from_its_stored_bytes() -> None:
    """What a participant writes is what is read: no field is lost or changed in storage."""
    registry = Registry(type_ for participant in PARTICIPANTS for type_ in participant.events)
    for *_, then in ACCEPTED:
        for event in then:
            assert registry.decode(event.schema.name, event.schema.version, registry.encode(event)) == event


def test_stored_names_are_those_of_the_published_vocabulary() -> None:
    """The stored names are a storage format: none is renamed, whatever the classes are called."""
    names = {type_.schema.name for participant in PARTICIPANTS for type_ in participant.events}
    assert names == {
        *("OrderCreated", "OrderCompleted", "OrderCancelled"),
        *("StockReceived", "InventoryReserved", "InventoryReservationFailed", "InventoryReleased", "ItemsRestocked"),
        *("PaymentSucceeded", "PaymentFailed", "PaymentRefunded"),
        *("ShipmentPrepared", "ShipmentCancelled"),
        *("LoyaltyPointsAwarded", "LoyaltyPointsDeducted"),
        *("ReturnRequested", "ReturnCompleted", "IntakeStarted"),
    }


def test_commands_go_to_the_stream_of_their_subject() -> None:
    """An article, an order, a customer, a return and a file each have a stream of their own."""
    assert INVENTORY.stream_of(ReserveInventory("1", "85123A", 1)) == "stock-85123A"
    assert PAYMENT.stream_of(RefundReturn("C1", None, 1, "GBP")) == "payment-C1"
    assert LOYALTY.stream_of(AwardLoyaltyPoints("17850", "1", 1)) == "loyalty-17850"
    assert IMPORT_JOB.stream_of(StartImport("orders.csv", 9, RATES)) == f"intake-{import_key('ab' * 32)}"
