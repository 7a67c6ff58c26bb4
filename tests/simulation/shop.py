"""The app of the simulation: the shop's sagas, and one that has every kind of step."""

from __future__ import annotations

from sagaledger.domain.participant import Command
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.step import StepContext
from sagaledger.domain.saga.step_kind import LocalResult
from sagaledger.domain.shop import (
    PARTICIPANTS,
    SAGAS,
    AwardLoyaltyPoints,
    CancelOrder,
    CapturePayment,
    CompleteOrder,
    CreateOrder,
    Order,
    RefundPayment,
    ReleaseInventory,
    ReserveInventory,
    per_article,
    points_for,
)
from sagaledger.infrastructure.ledger.app import App

from .courier import Courier

APPROVAL = "approve"
APPROVAL_SECONDS_MAX = 6.0
ANSWER = "answer"
ANSWER_SECONDS_MAX = 4.0
"""So short that the worker holds the saga meanwhile, and has to learn of the signal."""
PATIENT = Retry(attempts=4, backoff_seconds=0.1, backoff_seconds_max=1.0)
STUBBORN = Retry(attempts=6, backoff_seconds=0.1, backoff_seconds_max=1.0)
"""A step that fails in all of these attempts needs a person."""


def app_with(courier: Courier) -> App:
    """Returns the shop with `deliver` and `ask`.

    `deliver` has local steps, parallel calls, an approval, a sleep, a sub-saga and a pivot; `ask` waits for a signal.
    """
    wrap = _wrap(courier)
    ask = Saga("ask", input=str, key=lambda question: question)
    ask.wait_for(ANSWER, timeout=ANSWER_SECONDS_MAX)
    return App(sagas=[*SAGAS, wrap, _deliver(courier, wrap), ask], participants=PARTICIPANTS)


def _wrap(courier: Courier) -> Saga[Order]:
    wrap = Saga("wrap", input=Order)

    @wrap.step(retry=PATIENT)
    def paper(order: Order, ctx: StepContext) -> str:
        return courier.do("paper", order.order_id, ctx.key)

    @paper.compensation(retry=STUBBORN)
    def unwrap(order: Order, _: str | None, ctx: StepContext) -> None:
        courier.undo("paper", order.order_id, ctx.key)

    @wrap.step(retry=PATIENT)
    def ribbon(order: Order, ctx: StepContext) -> str:
        return courier.do("ribbon", order.order_id, ctx.key)

    @ribbon.compensation(retry=STUBBORN)
    def untie(order: Order, _: str | None, ctx: StepContext) -> None:
        courier.undo("ribbon", order.order_id, ctx.key)

    return wrap


def _deliver(courier: Courier, wrap: Saga[Order]) -> Saga[Order]:
    deliver = Saga("deliver", input=Order, key=lambda order: order.order_id, deadline=60.0)

    @deliver.on_started
    def create(order: Order) -> list[Command]:
        return [
            CreateOrder(
                order.order_id, order.customer_id, order.country, len(order.lines), order.total_minor, order.currency,
                order.placed_at,
            )
        ]  # fmt: skip

    @deliver.local_step(retry=PATIENT)
    def reserve(order: Order, _: StepContext) -> list[Command]:
        return [ReserveInventory(order.order_id, article.sku, article.quantity) for article in per_article(order.lines)]

    @reserve.compensation
    def release(order: Order, done: LocalResult | None, _: StepContext) -> list[Command]:
        articles = per_article(order.lines) if done else ()
        return [ReleaseInventory(order.order_id, article.sku, article.quantity) for article in articles]

    deliver.wait_for(APPROVAL, timeout=APPROVAL_SECONDS_MAX)

    @deliver.step(retry=PATIENT, after=[APPROVAL])
    def insure(order: Order, ctx: StepContext) -> str:
        return courier.do("insurance", order.order_id, ctx.key)

    @insure.compensation(retry=STUBBORN)
    def end_insurance(order: Order, _: str | None, ctx: StepContext) -> None:
        courier.undo("insurance", order.order_id, ctx.key)

    @deliver.step(retry=PATIENT, after=[APPROVAL], on_unknown="compensate")
    def book(order: Order, ctx: StepContext) -> str:
        return courier.do("booking", order.order_id, ctx.key)

    @book.compensation(retry=STUBBORN)
    def cancel_booking(order: Order, _: str | None, ctx: StepContext) -> None:
        courier.undo("booking", order.order_id, ctx.key)

    deliver.sleep("rest", seconds=7.0, after=[insure])

    @deliver.sub_saga(wrap, name="wrap_up", after=["rest", book])
    def wrap_up(order: Order, _: StepContext) -> Order:
        return order

    @wrap_up.compensation(retry=STUBBORN)
    def undo_wrapping(order: Order, _: object, ctx: StepContext) -> None:
        courier.undo("paper", order.order_id, f"{ctx.key} paper")
        courier.undo("ribbon", order.order_id, f"{ctx.key} ribbon")

    @deliver.local_step(retry=PATIENT)
    def pay(order: Order, _: StepContext) -> list[Command]:
        return [
            CapturePayment(
                order.order_id, order.customer_id, order.total_minor, order.currency, order.payment_method
            )
        ]  # fmt: skip

    @pay.compensation
    def refund(order: Order, done: LocalResult | None, _: StepContext) -> list[Command]:
        refunded = RefundPayment(order.order_id, order.customer_id, order.total_minor, order.currency)
        return [refunded] if done else []

    @deliver.step(retry=PATIENT, pivot=True)
    def hand_over(order: Order, ctx: StepContext) -> str:
        return courier.do("parcel", order.order_id, ctx.key)

    @deliver.local_step(compensable=False)
    def award(order: Order, _: StepContext) -> list[Command]:
        assert order.customer_id is not None
        return [AwardLoyaltyPoints(order.customer_id, order.order_id, points_for(order.total_minor))]

    @deliver.step(retry=STUBBORN, compensable=False)
    def announce(order: Order, ctx: StepContext) -> str:
        return courier.do("letter", order.order_id, ctx.key)

    @deliver.on_completed
    def complete(order: Order) -> list[Command]:
        return [CompleteOrder(order.order_id)]

    @deliver.on_compensated
    def cancel(order: Order, cause: str) -> list[Command]:
        return [CancelOrder(order.order_id, cause)]

    return deliver
