"""The shop's choreographies: what each event means for the saga of an order or of a return."""

from __future__ import annotations

from typing import Any

from ..choreography.choreography import Choreography, Stage
from .inventory import InventoryReleased, InventoryReservationFailed, InventoryReserved, ItemsRestocked
from .loyalty import LoyaltyPointsAwarded, LoyaltyPointsDeducted
from .order import CancelOrder, OrderCancelled, OrderCompleted, OrderCreated
from .payment import PaymentFailed, PaymentRefunded, PaymentSucceeded
from .returns import ReturnCompleted, ReturnRequested
from .shipping import ShipmentCancelled, ShipmentPrepared


def _order(event: Any) -> str:
    order_id: str = event.order_id
    return order_id


def _return(event: Any) -> str:
    """Services shared with orders carry a return's id in `order_id`."""
    return_id: str = event.return_id if isinstance(event, ReturnRequested | ReturnCompleted) else event.order_id
    return return_id


order_choreography = Choreography(
    "order_flow",
    version=1,
    begins=OrderCreated,
    stages=(
        Stage("reserve_inventory", "inventory", InventoryReserved, InventoryReservationFailed, InventoryReleased),
        Stage("process_payment", "payment", PaymentSucceeded, PaymentFailed, PaymentRefunded),
        Stage("prepare_shipping", "shipping", ShipmentPrepared, undone=ShipmentCancelled),
        Stage("award_loyalty_points", "loyalty", LoyaltyPointsAwarded, undone=LoyaltyPointsDeducted),
    ),
    completes=OrderCompleted,
    abort_event=OrderCancelled,
    cancel=CancelOrder,
    ending_service="order",
    key=_order,
)
"""An order: reserve the goods, take the money, pack the parcel, award the points; or undo the stages that were done."""

return_choreography = Choreography(
    "return_flow",
    version=1,
    begins=ReturnRequested,
    stages=(
        Stage("restock_items", "inventory", ItemsRestocked, pivot=True),
        Stage("refund_payment", "payment", PaymentRefunded),
        Stage("deduct_loyalty_points", "loyalty", LoyaltyPointsDeducted),
    ),
    completes=ReturnCompleted,
    ending_service="order",
    key=_return,
)
"""A return: put the goods back, pay the customer, take back the points."""
