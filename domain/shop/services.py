"""The shop's services: what each does about the events of the others. Nobody tells them what comes next.

The commands and the invariants are those of the orchestrated sagas: only who asks is different.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..choreography.service import Abstained, NothingToDo, Service, Story
from ..participant import Command
from ..saga.events import Direction
from .choreographies import order_flow, return_flow
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
    """The process of an order or a return, and the command that begins it."""
    if isinstance(invoice, Return):
        return return_flow.process_id(invoice.return_id), RequestReturn(
            return_id=invoice.return_id,
            customer_id=invoice.customer_id,
            country=invoice.country,
            lines=len(invoice.lines),
            total_minor=invoice.total_minor,
            currency=invoice.currency,
            requested_at=invoice.requested_at,
            articles=per_article(invoice.lines),
        )
    return order_flow.process_id(invoice.order_id), CreateOrder(
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


def _abstained(step: str) -> Any:
    """Matches a service that had nothing to do for a step on the way forward."""
    return lambda said: said.step == step and said.direction is Direction.FORWARD


# Inventory

inventory = Service("inventory")


@inventory.reacts(order_flow, OrderCreated)
def reserve(created: OrderCreated, _: Story) -> Commands:
    """Keep the pieces of every article, or none."""
    return [
        ReserveInventory(created.order_id, article.sku, article.quantity, part, len(created.articles))
        for part, article in enumerate(created.articles, start=1)
    ]


@inventory.reacts(order_flow, OrderCancelled)
def release(cancelled: OrderCancelled, story: Story) -> Commands:
    """Free what was kept."""
    if not story.has(InventoryReserved):
        return NothingToDo("nothing was reserved")
    articles = story.latest(OrderCreated).articles
    return [
        ReleaseInventory(cancelled.order_id, article.sku, article.quantity, part, len(articles))
        for part, article in enumerate(articles, start=1)
    ]


@inventory.reacts(return_flow, ReturnRequested)
def restock(requested: ReturnRequested, _: Story) -> Commands:
    """Put every article back on the shelf."""
    if not requested.articles:
        return NothingToDo("no pieces came back")
    return [
        RestockItems(requested.return_id, article.sku, article.quantity, part, len(requested.articles))
        for part, article in enumerate(requested.articles, start=1)
    ]


# Payment

payment = Service("payment")


@payment.reacts(order_flow, InventoryReserved)
def capture(reserved: InventoryReserved, story: Story) -> Commands:
    """Take the money, unless the order was called off meanwhile."""
    if story.has(OrderCancelled):
        return NothingToDo("the order is cancelled")
    order = story.latest(OrderCreated)
    return [
        CapturePayment(reserved.order_id, order.customer_id, order.total_minor, order.currency, order.payment_method)
    ]


@payment.reacts(order_flow, OrderCancelled)
def refund(cancelled: OrderCancelled, story: Story) -> Commands:
    """Give the money back."""
    if not story.has(PaymentSucceeded):
        return NothingToDo("nothing was captured")
    paid = story.latest(PaymentSucceeded)
    return [RefundPayment(cancelled.order_id, paid.customer_id, paid.amount_minor, paid.currency)]


def _pay_out(story: Story) -> Commands:
    """Pay the customer the full amount."""
    returned = story.latest(ReturnRequested)
    return [RefundReturn(returned.return_id, returned.customer_id, returned.total_minor, returned.currency)]


@payment.reacts(return_flow, ItemsRestocked)
def pay_out(_: ItemsRestocked, story: Story) -> Commands:
    """The goods are back: pay the customer."""
    return _pay_out(story)


@payment.reacts(return_flow, Abstained, when=_abstained("restock_items"))
def pay_out_at_once(_: Abstained, story: Story) -> Commands:
    """There were no goods to put back: pay the customer."""
    return _pay_out(story)


# Shipping

shipping = Service("shipping")


@shipping.reacts(order_flow, PaymentSucceeded)
def pack(paid: PaymentSucceeded, story: Story) -> Commands:
    """Pack the parcel, unless the order was called off meanwhile."""
    if story.has(OrderCancelled):
        return NothingToDo("the order is cancelled")
    return [PrepareShipment(paid.order_id, story.latest(OrderCreated).articles)]


@shipping.reacts(order_flow, OrderCancelled)
def unpack(cancelled: OrderCancelled, story: Story) -> Commands:
    """Unpack the parcel."""
    if not story.has(ShipmentPrepared):
        return NothingToDo("no parcel was packed")
    return [CancelShipment(cancelled.order_id)]


# Loyalty

loyalty = Service("loyalty")


@loyalty.reacts(order_flow, ShipmentPrepared)
def award(prepared: ShipmentPrepared, story: Story) -> Commands:
    """Give a known customer the points; a guest earns none."""
    if story.has(OrderCancelled):
        return NothingToDo("the order is cancelled")
    order = story.latest(OrderCreated)
    points = points_for(order.total_minor)
    if order.customer_id is None:
        return NothingToDo("a guest earns no points")
    if points == 0:
        return NothingToDo("so small an amount earns no points")
    return [AwardLoyaltyPoints(order.customer_id, prepared.order_id, points)]


@loyalty.reacts(order_flow, OrderCancelled)
def deduct(cancelled: OrderCancelled, story: Story) -> Commands:
    """Take the points back."""
    if not story.has(LoyaltyPointsAwarded):
        return NothingToDo("no points were awarded")
    awarded = story.latest(LoyaltyPointsAwarded)
    return [DeductLoyaltyPoints(awarded.customer_id, cancelled.order_id, awarded.points)]


@loyalty.reacts(return_flow, PaymentRefunded)
def take_back(refunded: PaymentRefunded, _: Story) -> Commands:
    """Take back the points of a known customer, below zero if need be."""
    points = points_for(refunded.amount_minor)
    if refunded.customer_id is None:
        return NothingToDo("a guest has no points")
    if points == 0:
        return NothingToDo("so small an amount earned no points")
    return [DeductLoyaltyPoints(refunded.customer_id, refunded.order_id, points)]


# Order: it opens and closes what the others fulfil

order = Service("order")


@order.reacts(order_flow, InventoryReservationFailed)
@order.reacts(order_flow, PaymentFailed)
def cancel(failed: InventoryReservationFailed | PaymentFailed, _: Story) -> Commands:
    """The order is off: whoever did something for it hears of it and undoes that."""
    return [CancelOrder(failed.order_id, failed.reason)]


@order.reacts(order_flow, LoyaltyPointsAwarded)
@order.reacts(order_flow, Abstained, when=_abstained("award_loyalty_points"))
def complete(_: LoyaltyPointsAwarded | Abstained, story: Story) -> Commands:
    """Everything that the order needed is done."""
    if story.has(OrderCancelled):
        return NothingToDo("the order is cancelled")
    return [CompleteOrder(story.latest(OrderCreated).order_id)]


@order.reacts(return_flow, LoyaltyPointsDeducted)
@order.reacts(return_flow, Abstained, when=_abstained("deduct_loyalty_points"))
def settle(_: LoyaltyPointsDeducted | Abstained, story: Story) -> Commands:
    """The return is settled."""
    return [CompleteReturn(story.latest(ReturnRequested).return_id)]


SERVICES: tuple[Service, ...] = (order, inventory, payment, shipping, loyalty)
"""Every service of the shop."""
