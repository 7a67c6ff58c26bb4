"""The reference domain: an online shop, as event-sourced participants and the sagas between them."""

from __future__ import annotations

from typing import Any

from ..participant import Participant
from ..saga.saga import Saga
from .fulfil_order import Order, OrderLine, fulfil_order
from .import_job import IMPORT_JOB, ImportParameters, ImportStarted, StartImport, import_key
from .inventory import (
    INVENTORY,
    InventoryReleased,
    InventoryReservationFailed,
    InventoryReserved,
    ItemsRestocked,
    OpenStock,
    ReceiveStock,
    ReleaseInventory,
    ReserveInventory,
    RestockItems,
    StockReceived,
)
from .loyalty import (
    LOYALTY,
    AwardLoyaltyPoints,
    DeductLoyaltyPoints,
    LoyaltyPointsAwarded,
    LoyaltyPointsDeducted,
    points_for,
)
from .order import ORDER, CancelOrder, CompleteOrder, CreateOrder, OrderCancelled, OrderCompleted, OrderCreated
from .payment import (
    DECLINED_CARD,
    PAYMENT,
    CapturePayment,
    PaymentFailed,
    PaymentRefunded,
    PaymentSucceeded,
    RefundPayment,
    RefundReturn,
)
from .return_goods import Return, ReturnLine, return_goods
from .returns import RETURNS, CompleteReturn, RequestReturn, ReturnCompleted, ReturnRequested
from .shipping import SHIPPING, CancelShipment, PrepareShipment, ShipmentCancelled, ShipmentPrepared, tracking_number
from .values import Quantity, per_article

PARTICIPANTS: tuple[Participant[Any], ...] = (ORDER, INVENTORY, PAYMENT, SHIPPING, LOYALTY, RETURNS, IMPORT_JOB)
"""Every participant of the shop."""
SAGAS: tuple[Saga[Any], ...] = (fulfil_order, return_goods)
"""Every saga of the shop."""

__all__ = [
    "DECLINED_CARD",
    "IMPORT_JOB",
    "INVENTORY",
    "LOYALTY",
    "ORDER",
    "PARTICIPANTS",
    "PAYMENT",
    "RETURNS",
    "SAGAS",
    "SHIPPING",
    "AwardLoyaltyPoints",
    "CancelOrder",
    "CancelShipment",
    "CapturePayment",
    "CompleteOrder",
    "CompleteReturn",
    "CreateOrder",
    "DeductLoyaltyPoints",
    "ImportParameters",
    "ImportStarted",
    "InventoryReleased",
    "InventoryReservationFailed",
    "InventoryReserved",
    "ItemsRestocked",
    "LoyaltyPointsAwarded",
    "LoyaltyPointsDeducted",
    "OpenStock",
    "Order",
    "OrderCancelled",
    "OrderCompleted",
    "OrderCreated",
    "OrderLine",
    "PaymentFailed",
    "PaymentRefunded",
    "PaymentSucceeded",
    "PrepareShipment",
    "Quantity",
    "ReceiveStock",
    "RefundPayment",
    "RefundReturn",
    "ReleaseInventory",
    "RequestReturn",
    "ReserveInventory",
    "RestockItems",
    "Return",
    "ReturnCompleted",
    "ReturnLine",
    "ReturnRequested",
    "ShipmentCancelled",
    "ShipmentPrepared",
    "StartImport",
    "StockReceived",
    "fulfil_order",
    "import_key",
    "per_article",
    "points_for",
    "return_goods",
    "tracking_number",
]
