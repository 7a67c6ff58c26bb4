"""The shop's services: how each reacts to the events of the others, without a coordinator.

They use the commands of the orchestrated sagas, and so keep the same invariants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..choreography.service import NothingToDo, ProcessHistory, Service, StepSkipped
from ..participant import Command
from ..saga.events import Direction
from .choreographies import order_choreography, return_choreography
from .fulfil_order import Order
from .inventory import (
    InventoryReservationFailed,
    InventoryReserved,
    ItemsRestocked,
    ReleaseInventory,
    ReserveInventory,
    RestockItems,
)
from .loyalty import (
    AwardLoyaltyPoints,
    DeductLoyaltyPoints,
    LoyaltyPointsAwarded,
    LoyaltyPointsDeducted,
    points_for,
)
from .order import CancelOrder, CompleteOrder, CreateOrder, OrderCancelled, OrderCreated
from .payment import CapturePayment, PaymentFailed, PaymentRefunded, PaymentSucceeded, RefundPayment, RefundReturn
from .return_goods import Return
from .returns import CompleteReturn, RequestReturn, ReturnRequested
from .shipping import CancelShipment, PrepareShipment, ShipmentPrepared
from .values import per_article

Commands = Sequence[Command] | NothingToDo


def place(invoice: Order | Return) -> tuple[str, Command]:
    """Returns the process id of an order or a return, and the command that begins the process."""
    if isinstance(invoice, Return):
        return return_choreography.process_id(invoice.return_id), RequestReturn(
            return_id=invoice.return_id,
            customer_id=invoice.customer_id,
            country=invoice.country,
            lines=len(invoice.lines),
            total_minor=invoice.total_minor,
            currency=invoice.currency,
            requested_at=invoice.requested_at,
            articles=per_article(invoice.lines),
        )
    return order_choreography.process_id(invoice.order_id), CreateOrder(
        order_id=invoice.order_id,
        customer_id=invoice.customer_id,
        country=invoice.country,
        lines=len(invoice.lines),
        total_minor=invoice.total_minor,
        currency=invoice.currency,
        placed_at=invoice.placed_at,
        articles=per_article(invoice.lines),
        payment_method=invoice.payment_method,
    )


def _skipped(step: str) -> Any:
    """Returns the condition that a service skipped this step on the way forward."""
    return lambda skipped: skipped.step == step and skipped.direction is Direction.FORWARD


# Inventory

inventory = Service("inventory")


@inventory.reacts(order_choreography, OrderCreated)
def reserve(created: OrderCreated, _: ProcessHistory) -> Commands:
    """Reserve the pieces of every article, or of none."""
    return [
        ReserveInventory(created.order_id, article.sku, article.quantity, part, len(created.articles))
        for part, article in enumerate(created.articles, start=1)
    ]


@inventory.reacts(order_choreography, OrderCancelled)
def release(cancelled: OrderCancelled, history: ProcessHistory) -> Commands:
    """Release the reserved pieces."""
    if not history.has(InventoryReserved):
        return NothingToDo("nothing was reserved")
    articles = history.latest(OrderCreated).articles
    return [
        ReleaseInventory(cancelled.order_id, article.sku, article.quantity, part, len(articles))
        for part, article in enumerate(articles, start=1)
    ]


@inventory.reacts(return_choreography, ReturnRequested)
def restock(requested: ReturnRequested, _: ProcessHistory) -> Commands:
    """Put every article back on the shelf."""
    if not requested.articles:
        return NothingToDo("no pieces came back")
    return [
        RestockItems(requested.return_id, article.sku, article.quantity, part, len(requested.articles))
        for part, article in enumerate(requested.articles, start=1)
    ]


# Payment

payment = Service("payment")


@payment.reacts(order_choreography, InventoryReserved)
def capture(reserved: InventoryReserved, history: ProcessHistory) -> Commands:
    """Take the money, unless the order was cancelled meanwhile."""
    if history.has(OrderCancelled):
        return NothingToDo("the order is cancelled")
    order = history.latest(OrderCreated)
    return [
        CapturePayment(reserved.order_id, order.customer_id, order.total_minor, order.currency, order.payment_method)
    ]


@payment.reacts(order_choreography, OrderCancelled)
def refund(cancelled: OrderCancelled, history: ProcessHistory) -> Commands:
    """Refund the money."""
    if not history.has(PaymentSucceeded):
        return NothingToDo("nothing was captured")
    paid = history.latest(PaymentSucceeded)
    return [RefundPayment(cancelled.order_id, paid.customer_id, paid.amount_minor, paid.currency)]


def _pay_out(history: ProcessHistory) -> Commands:
    """Refund the full amount."""
    returned = history.latest(ReturnRequested)
    return [RefundReturn(returned.return_id, returned.customer_id, returned.total_minor, returned.currency)]


@payment.reacts(return_choreography, ItemsRestocked)
def pay_out(_: ItemsRestocked, history: ProcessHistory) -> Commands:
    """Refund the full amount, now that the goods are back."""
    return _pay_out(history)


@payment.reacts(return_choreography, StepSkipped, when=_skipped("restock_items"))
def pay_out_at_once(_: StepSkipped, history: ProcessHistory) -> Commands:
    """Refund the full amount, because there were no goods to put back."""
    return _pay_out(history)


# Shipping

shipping = Service("shipping")


@shipping.reacts(order_choreography, PaymentSucceeded)
def pack(paid: PaymentSucceeded, history: ProcessHistory) -> Commands:
    """Pack the parcel, unless the order was cancelled meanwhile."""
    if history.has(OrderCancelled):
        return NothingToDo("the order is cancelled")
    return [PrepareShipment(paid.order_id, history.latest(OrderCreated).articles)]


@shipping.reacts(order_choreography, OrderCancelled)
def unpack(cancelled: OrderCancelled, history: ProcessHistory) -> Commands:
    """Unpack the parcel."""
    if not history.has(ShipmentPrepared):
        return NothingToDo("no parcel was packed")
    return [CancelShipment(cancelled.order_id)]


# Loyalty

loyalty = Service("loyalty")


@loyalty.reacts(order_choreography, ShipmentPrepared)
def award(prepared: ShipmentPrepared, history: ProcessHistory) -> Commands:
    """Award the points to a known customer; a guest earns none."""
    if history.has(OrderCancelled):
        return NothingToDo("the order is cancelled")
    order = history.latest(OrderCreated)
    points = points_for(order.total_minor)
    if order.customer_id is None:
        return NothingToDo("a guest earns no points")
    if points == 0:
        return NothingToDo("so small an amount earns no points")
    return [AwardLoyaltyPoints(order.customer_id, prepared.order_id, points)]


@loyalty.reacts(order_choreography, OrderCancelled)
def deduct(cancelled: OrderCancelled, history: ProcessHistory) -> Commands:
    """Deduct the awarded points."""
    if not history.has(LoyaltyPointsAwarded):
        return NothingToDo("no points were awarded")
    awarded = history.latest(LoyaltyPointsAwarded)
    return [DeductLoyaltyPoints(awarded.customer_id, cancelled.order_id, awarded.points)]


@loyalty.reacts(return_choreography, PaymentRefunded)
def take_back(refunded: PaymentRefunded, _: ProcessHistory) -> Commands:
    """Deduct the points from a known customer; the account may go below zero."""
    points = points_for(refunded.amount_minor)
    if refunded.customer_id is None:
        return NothingToDo("a guest has no points")
    if points == 0:
        return NothingToDo("so small an amount earned no points")
    return [DeductLoyaltyPoints(refunded.customer_id, refunded.order_id, points)]


# Order: it opens and closes orders and returns, which the other services fulfil

order = Service("order")


@order.reacts(order_choreography, InventoryReservationFailed)
@order.reacts(order_choreography, PaymentFailed)
def cancel(failed: InventoryReservationFailed | PaymentFailed, _: ProcessHistory) -> Commands:
    """Cancel the order, after which each service undoes what it did for the order."""
    return [CancelOrder(failed.order_id, failed.reason)]


@order.reacts(order_choreography, LoyaltyPointsAwarded)
@order.reacts(order_choreography, StepSkipped, when=_skipped("award_loyalty_points"))
def complete(_: LoyaltyPointsAwarded | StepSkipped, history: ProcessHistory) -> Commands:
    """Complete the order after its last step."""
    if history.has(OrderCancelled):
        return NothingToDo("the order is cancelled")
    return [CompleteOrder(history.latest(OrderCreated).order_id)]


@order.reacts(return_choreography, LoyaltyPointsDeducted)
@order.reacts(return_choreography, StepSkipped, when=_skipped("deduct_loyalty_points"))
def settle(_: LoyaltyPointsDeducted | StepSkipped, history: ProcessHistory) -> Commands:
    """Complete the return after its last step."""
    return [CompleteReturn(history.latest(ReturnRequested).return_id)]


SERVICES: tuple[Service, ...] = (order, inventory, payment, shipping, loyalty)
"""Every service of the shop."""
