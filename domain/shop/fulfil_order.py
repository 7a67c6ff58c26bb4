"""The saga `fulfil_order`: reserve the goods, take the money, pack the parcel, award the points; or undo all of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from ..participant import Command
from ..saga.saga import Saga
from ..saga.step_context import StepContext
from ..saga.step_kind import LocalResult
from .inventory import ReleaseInventory, ReserveInventory
from .loyalty import AwardLoyaltyPoints, DeductLoyaltyPoints, points_for
from .order import CancelOrder, CompleteOrder, CreateOrder
from .payment import CapturePayment, RefundPayment
from .shipping import CancelShipment, PrepareShipment
from .values import QUANTITY_MAX, BusinessKey, Country, Currency, Minor, per_article

# The docstrings of the input's types are in its JSON schema, and so in the fingerprint that ledgers have recorded:
# rewording them needs a new version of the saga.


class OrderLine(Struct, frozen=True, omit_defaults=True):
    """So many pieces of one article, for so much together (quantity times unit price, rounded to the minor unit)."""

    sku: BusinessKey
    quantity: Annotated[int, Meta(ge=1, le=QUANTITY_MAX)]
    amount_minor: Minor
    description: str = ""


class Order(Struct, frozen=True, omit_defaults=True):
    """An order as it was placed; one article may stand on several lines, and a guest has no customer id."""

    order_id: BusinessKey
    placed_at: Annotated[datetime, Meta(tz=True)]
    lines: Annotated[tuple[OrderLine, ...], Meta(min_length=1)]
    customer_id: BusinessKey | None = None
    country: Country = ""
    currency: Currency = "GBP"
    payment_method: str = "card"

    @property
    def total_minor(self) -> int:
        """What the customer pays, in the currency's minor unit."""
        return sum(line.amount_minor for line in self.lines)


fulfil_order = Saga("fulfil_order", version=1, input=Order, key=lambda order: order.order_id)


@fulfil_order.on_started
def create_order(order: Order) -> list[Command]:
    """Open the order when its saga starts."""
    return [
        CreateOrder(
            order_id=order.order_id,
            customer_id=order.customer_id,
            country=order.country,
            lines=len(order.lines),
            total_minor=order.total_minor,
            currency=order.currency,
            placed_at=order.placed_at,
        )
    ]


@fulfil_order.local_step()
def reserve_inventory(order: Order, _ctx: StepContext) -> list[Command]:
    """Reserve the pieces of every article, or of none."""
    articles = per_article(order.lines)
    return [
        ReserveInventory(order.order_id, article.sku, article.quantity, part, len(articles))
        for part, article in enumerate(articles, start=1)
    ]


@reserve_inventory.compensation
def release_inventory(order: Order, done: LocalResult | None, _ctx: StepContext) -> list[Command]:
    """Release the reserved pieces."""
    if done is None:
        return []
    articles = per_article(order.lines)
    return [
        ReleaseInventory(order.order_id, article.sku, article.quantity, part, len(articles))
        for part, article in enumerate(articles, start=1)
    ]


@fulfil_order.local_step()
def process_payment(order: Order, _ctx: StepContext) -> list[Command]:
    """Take the money."""
    return [
        CapturePayment(order.order_id, order.customer_id, order.total_minor, order.currency, order.payment_method),
    ]


@process_payment.compensation
def refund_payment(order: Order, done: LocalResult | None, _ctx: StepContext) -> list[Command]:
    """Refund the money."""
    if done is None:
        return []
    return [RefundPayment(order.order_id, order.customer_id, order.total_minor, order.currency)]


@fulfil_order.local_step()
def prepare_shipping(order: Order, _ctx: StepContext) -> list[Command]:
    """Pack the parcel."""
    return [PrepareShipment(order.order_id, per_article(order.lines))]


@prepare_shipping.compensation
def cancel_shipment(order: Order, done: LocalResult | None, _ctx: StepContext) -> list[Command]:
    """Unpack the parcel."""
    return [] if done is None else [CancelShipment(order.order_id)]


@fulfil_order.local_step()
def award_loyalty_points(order: Order, _ctx: StepContext) -> list[Command]:
    """Award the points to a known customer; a guest earns none."""
    if order.customer_id is None:
        return []
    return [AwardLoyaltyPoints(order.customer_id, order.order_id, points_for(order.total_minor))]


@award_loyalty_points.compensation
def deduct_loyalty_points(order: Order, done: LocalResult | None, _ctx: StepContext) -> list[Command]:
    """Take the points back."""
    if done is None or order.customer_id is None:
        return []
    return [DeductLoyaltyPoints(order.customer_id, order.order_id, points_for(order.total_minor))]


@fulfil_order.on_completed
def complete_order(order: Order) -> list[Command]:
    """Close the order as fulfilled."""
    return [CompleteOrder(order.order_id)]


@fulfil_order.on_compensated
def cancel_order(order: Order, cause: str) -> list[Command]:
    """Close the order as cancelled, with the reason."""
    return [CancelOrder(order.order_id, cause)]
