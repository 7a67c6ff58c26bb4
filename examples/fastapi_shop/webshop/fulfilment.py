"""The saga of an order: reserve the goods, have a large order approved, take the money, send the parcel; or undo it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from sagaledger import App, Command, LocalResult, Retry, Saga, StepContext

from .services import services
from .stock import Receive, Release, Reserve, Sell, stock, stock_levels

APPROVAL_FROM_MINOR = 50_000
"""An order of as many pence or more is approved by a person."""
PATIENT = Retry(attempts=10, backoff_seconds=0.1, backoff_seconds_max=30.0)

Quantity = Annotated[int, Meta(ge=1)]


class OrderedLine(Struct, frozen=True):
    sku: str
    quantity: Quantity
    price_minor: Annotated[int, Meta(ge=0)]


class PlacedOrder(Struct, frozen=True):
    order_id: str
    customer: str
    card: str
    lines: list[OrderedLine]

    @property
    def total_minor(self) -> int:
        return sum(line.quantity * line.price_minor for line in self.lines)


fulfil = Saga(
    "fulfil_webshop_order",
    version=1,
    input=PlacedOrder,
    key=lambda order: order.order_id,
    search={"customer": lambda order: order.customer},
)


@fulfil.local_step()
def reserve_goods(order: PlacedOrder, _ctx: StepContext) -> list[Command]:
    """All lines are reserved, or none: the stock decides in the same append."""
    return [Reserve(line.sku, line.quantity, order.order_id) for line in order.lines]


@reserve_goods.compensation
def release_goods(order: PlacedOrder, reserved: LocalResult | None, _ctx: StepContext) -> list[Command]:
    return [Release(line.sku, line.quantity, order.order_id) for line in order.lines] if reserved else []


fulfil.wait_for("approval", when=lambda order, _: order.total_minor >= APPROVAL_FROM_MINOR, timeout=7 * 86_400)


@fulfil.step(retry=PATIENT, timeout=20)
async def charge(order: PlacedOrder, ctx: StepContext) -> str:
    """The service takes the money once for each key, however often it is asked."""
    body = {"card": order.card, "amount_minor": order.total_minor}
    return await services.call("PUT", f"/payments/{order.order_id}", ctx.key, body)


@charge.compensation(retry=Retry(attempts=30, backoff_seconds_max=60.0))
async def refund(order: PlacedOrder, _receipt: str | None, ctx: StepContext) -> None:
    await services.call("DELETE", f"/payments/{order.order_id}", ctx.key)


@fulfil.step(retry=PATIENT, timeout=20, pivot=True)
async def send_parcel(order: PlacedOrder, ctx: StepContext) -> str:
    """What has left the house does not come back: this is the pivot."""
    return await services.call("PUT", f"/parcels/{order.order_id}", ctx.key, {"customer": order.customer})


@fulfil.on_completed
def take_off_the_shelf(order: PlacedOrder) -> list[Command]:
    return [Sell(line.sku, line.quantity, order.order_id) for line in order.lines]


class Delivery(Struct, frozen=True):
    delivery_id: str
    sku: str
    quantity: Quantity


receive_delivery = Saga("receive_webshop_delivery", version=1, input=Delivery, key=lambda it: it.delivery_id)


@receive_delivery.local_step(compensable=False)
def put_on_the_shelf(delivery: Delivery, _ctx: StepContext) -> list[Command]:
    return [Receive(delivery.sku, delivery.quantity)]


app = App(sagas=[fulfil, receive_delivery], participants=[stock], projections=[stock_levels])
