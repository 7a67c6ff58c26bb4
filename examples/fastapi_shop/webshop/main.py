"""The web application: `uvicorn webshop.main:app`. Its worker runs beside the requests, in the same process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from sagaledger import Ledger, SagaledgerError, SagaNotFound, TimedOut, Unavailable, Worker, WrongState

from .fulfilment import app as sagas
from .orders import Order, OrderLine
from .placing import Orders
from .services import services
from .settings import settings
from .simulated_services import simulated_services

DRAIN_SECONDS = 10.0
"""How long a running step may take to end when the shop is stopped."""


class Shop:
    """What the requests share."""

    def __init__(self, ledger: Ledger, orders: Orders, worker: Worker) -> None:
        self.ledger = ledger
        self.orders = orders
        self.worker = worker


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open everything, in this order; at the end, release it in the reverse order.

    uvicorn ends this block on SIGTERM, after the last request was answered. The worker then begins no further step,
    waits for those that run, records their outcomes, and leaves its sagas to the next process.
    """
    chosen = settings()
    engine = create_engine(chosen.database_url)
    async with AsyncExitStack() as stack:
        stack.callback(engine.dispose)
        services.url = chosen.services_url or stack.enter_context(simulated_services(Path("webshop-services.db")))
        ledger = stack.enter_context(Ledger.open(chosen.ledger_url, sagas, must_exist=True))
        orders = Orders(
            ledger, sessionmaker(engine, expire_on_commit=False), shares_transactions=chosen.shares_transactions
        )
        orders.start_missing()
        worker = await stack.enter_async_context(Worker(ledger, drain_seconds=DRAIN_SECONDS))
        app.state.shop = Shop(ledger, orders, worker)
        yield


app = FastAPI(title="webshop", lifespan=lifespan)


def the_shop(request: Request) -> Shop:
    shop: Shop = request.app.state.shop
    return shop


TheShop = Annotated[Shop, Depends(the_shop)]


@app.exception_handler(SagaledgerError)
def answer_error(_request: Request, error: Exception) -> Response:
    """The errors that a caller can do something about; the text of each says what."""
    codes = {SagaNotFound: 404, WrongState: 409, Unavailable: 503, TimedOut: 504}
    code = next((code for type_, code in codes.items() if isinstance(error, type_)), 500)
    return JSONResponse({"detail": str(error)}, code)


class Line(BaseModel):
    sku: str
    quantity: int = Field(ge=1)
    price_minor: int = Field(ge=0)


class NewOrder(BaseModel):
    customer: str
    card: str = "valid"
    lines: list[Line] = Field(min_length=1)


class Decision(BaseModel):
    actor: str
    reason: str
    granted: bool = True


# Plain functions run on threads, where a `Ledger` may block.


@app.post("/orders", status_code=202)
def place_order(new: NewOrder, shop: TheShop) -> dict[str, str]:
    lines = [OrderLine(sku=line.sku, quantity=line.quantity, price_minor=line.price_minor) for line in new.lines]
    order = Order(order_id=uuid4().hex[:12], customer=new.customer, card=new.card, lines=lines)
    order_id = order.order_id
    return {"order_id": order_id, "saga_id": shop.orders.place(order, actor=new.customer)}


@app.get("/orders/{order_id}")
def show_order(order_id: str, shop: TheShop) -> dict[str, Any]:
    """The order as the shop's own tables have it, and the status of its saga."""
    order = found(shop, order_id)
    try:
        status: str = shop.ledger.state(saga_of(order)).status
    except SagaNotFound:
        status = "asked for"  # the worker starts it within a tenth of a second
    return {"order_id": order_id, "customer": order.customer, "lines": len(order.lines), "status": status}


@app.get("/orders/{order_id}/saga")
def show_saga(order_id: str, shop: TheShop) -> dict[str, Any]:
    """How far each step has come, and what failed."""
    state = shop.ledger.state(saga_of(found(shop, order_id)))
    steps = {
        name: {"forward": step.forward.progress, "compensation": step.compensation.progress}
        for name, step in state.steps.items()
    }
    return {"saga_id": state.saga_id, "status": state.status, "cause": state.cause, "steps": steps}


@app.get("/orders/{order_id}/history")
def show_history(order_id: str, shop: TheShop) -> list[dict[str, Any]]:
    """Every attempt and decision, and what the stock recorded."""
    return [
        {
            "position": recorded.position,
            "event": recorded.event.schema.name,
            "actor": recorded.meta.actor,
            "data": msgspec.json.decode(msgspec.json.encode(recorded.event)),
        }
        for recorded in shop.ledger.history(saga_of(found(shop, order_id)))
    ]


@app.post("/orders/{order_id}/approval")
def decide(order_id: str, decision: Decision, shop: TheShop) -> dict[str, int]:
    """Approve a large order, or refuse it: then what was done so far is undone."""
    position = shop.ledger.approve(
        saga_of(found(shop, order_id)),
        "approval",
        actor=decision.actor,
        reason=decision.reason,
        refused=not decision.granted,
    )
    return {"position": position}


@app.get("/stock")
def show_stock(shop: TheShop, wait_for: int | None = None) -> dict[str, Any]:
    """The shop's own view, and the position of the log that it shows: with `wait_for` this one at least."""
    answer = shop.ledger.query("stock_levels", order=["sku"], wait_for=wait_for)
    return {"position": answer.as_of_position, "articles": answer.rows}


@app.get("/health")
def show_health(shop: TheShop, response: Response) -> dict[str, Any]:
    """What a probe asks: restart the process if it answers 503."""
    health = shop.worker.health()
    response.status_code = 200 if health.healthy else 503
    return {"state": health.state, "ready": health.ready, "error": health.error}


def found(shop: Shop, order_id: str) -> Order:
    order = shop.orders.find(order_id)
    if order is None:
        raise HTTPException(404, f"there is no order {order_id}")
    return order


def saga_of(order: Order) -> str:
    if order.saga_id is None:
        raise HTTPException(409, f"no saga of order {order.order_id} was started yet")
    return order.saga_id
