"""Orders that give auditors something to ask about: retries, a declined card, an approval, and a refund that failed.

    python examples/audited_orders.py [URL]

It runs six orders of three customers in a new ledger at the URL (default: `sqlite:///audited.db`), plays the people who
decide, and ends. The page `docs/audit-questions.md` asks the ledger.
"""

import asyncio
import sys
from collections.abc import Sequence
from time import sleep

import msgspec

from sagaledger import App, Ledger, Retry, Saga, Status, StepContext, StepRejected, Worker

GATEWAY_OUTAGE_ATTEMPTS = 3
APPROVAL_FROM_MINOR = 100_000


class Order(msgspec.Struct):
    order_id: str
    customer_id: str
    amount_minor: int
    address: str
    card: str = "valid"


orders = Saga(
    "orders",
    version=1,
    input=Order,
    key=lambda order: order.order_id,
    search={"customer": lambda order: order.customer_id, "amount": lambda order: order.amount_minor},
)


@orders.step(retry=Retry(attempts=5, backoff_seconds=0.01), timeout=10)
async def charge(order: Order, ctx: StepContext) -> str:
    if order.card == "declined":
        raise StepRejected("the card was declined")
    if order.customer_id == "C-2" and ctx.attempt <= GATEWAY_OUTAGE_ATTEMPTS:
        raise ConnectionError("the payment gateway does not answer")
    return f"charge-{order.order_id}"


@charge.compensation(retry=Retry(attempts=2, backoff_seconds=0.01))
async def refund(order: Order, charge_id: str | None, ctx: StepContext) -> None:
    if order.customer_id == "C-3":
        raise ConnectionError("the payment gateway is closed at night")


release = orders.wait_for("release", when=lambda order, _: order.amount_minor >= APPROVAL_FROM_MINOR, timeout=86_400)


@orders.step(timeout=10, compensable=False)
async def ship(order: Order, ctx: StepContext) -> str:
    if not order.address:
        raise StepRejected("the order has no address")
    return f"parcel-{order.order_id}"


app = App(sagas=[orders])

ORDERS = (
    Order("1", "C-1", 2_500, "High Street 1"),
    Order("2", "C-1", 3_000, "High Street 1", card="declined"),
    Order("3", "C-2", 4_000, "Mill Lane 7"),
    Order("4", "C-2", 250_000, "Mill Lane 7"),
    Order("5", "C-3", 9_900, ""),
    Order("6", "C-1", 1_200, "High Street 1"),
)


async def main(url: str, placed: Sequence[Order] = ORDERS) -> None:
    with Ledger.open(url, app, create=True) as ledger:
        async with Worker(ledger) as worker:
            for order in placed:  # one after the other, so that each run of this program makes the same log
                started = await worker.start(orders, order)
                await asyncio.to_thread(decide, ledger, started.saga_id, order)
                state = await worker.outcome(started.saga_id)
                print(f"{state.saga_id}: {state.status}")


def decide(ledger: Ledger, saga_id: str, order: Order) -> None:
    """Plays the people who decide about two of the orders."""
    if order.amount_minor >= APPROVAL_FROM_MINOR:
        while not ledger.query("saga_steps", where={"saga_id": saga_id, "step": "release"}).rows:
            sleep(0.02)
        ledger.approve(saga_id, "release", actor="head-of-sales", reason="a customer of ten years")
    if not order.address:
        state = ledger.wait(saga_id, timeout_seconds=60)
        assert state.status is Status.NEEDS_INTERVENTION, state.status
        ledger.intervene(saga_id, "resolve", actor="night-shift", reason="refunded by bank transfer")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///audited.db"))
