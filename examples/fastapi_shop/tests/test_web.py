"""The web application with its worker: requests over ASGI, a database and services as in production."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from webshop import create
from webshop.main import app
from webshop.orders import Order

SECONDS_MAX = 30.0


@pytest.fixture
def shop_url(tmp_path: Path, saga_ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The shop, created, on the database that the plugin of sagaledger chooses for the ledger."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_DB", "sqlite:///webshop.db")
    monkeypatch.setenv("SHOP_LEDGER", saga_ledger_url)
    create.main()
    return "sqlite:///webshop.db"


@pytest.fixture
def web(shop_url: str) -> Iterator[TestClient]:
    """The shop, open."""
    with TestClient(app) as client:
        yield client


def place(web: TestClient, quantity: int, price_minor: int, card: str = "valid") -> str:
    """Place an order, as a browser would."""
    line = {"sku": "TEAPOT", "quantity": quantity, "price_minor": price_minor}
    placed = web.post("/orders", json={"customer": "ann", "card": card, "lines": [line]})
    assert placed.status_code == 202
    return str(placed.json()["order_id"])


def wait_for(web: TestClient, order: str, status: str) -> dict[str, Any]:
    """Ask for the order's saga until it has a status."""
    deadline = time.monotonic() + SECONDS_MAX
    while web.get(f"/orders/{order}").json()["status"] != status:
        assert time.monotonic() < deadline, web.get(f"/orders/{order}/saga").text
        time.sleep(0.02)
    found: dict[str, Any] = web.get(f"/orders/{order}/saga").json()
    return found


def test_an_order_is_fulfilled(web: TestClient) -> None:
    """Its history has every attempt, and who asked for it."""
    order = place(web, 2, 1_500)

    wait_for(web, order, "completed")

    history = web.get(f"/orders/{order}/history").json()
    names = [recorded["event"] for recorded in history]
    assert names[0] == "SagaStarted"
    assert history[0]["actor"] == "ann"
    assert names.count("webshop.GoodsReserved") == 1
    assert names[-2:] == ["webshop.GoodsSold", "SagaCompleted"]


def test_a_declined_card_releases_the_goods(web: TestClient) -> None:
    """The cause is that of the service."""
    order = place(web, 2, 1_500, card="declined")

    saga = wait_for(web, order, "compensated")

    assert saga["cause"] == "step charge failed (StepRejected)"
    assert saga["steps"]["reserve_goods"]["compensation"] == "done"


def test_a_large_order_waits_for_a_person(web: TestClient) -> None:
    """Who decides once."""
    order = place(web, 40, 1_500)
    wait_for(web, order, "waiting")
    decision = {"actor": "bob", "reason": "a good customer"}

    first = web.post(f"/orders/{order}/approval", json=decision)
    second = web.post(f"/orders/{order}/approval", json=decision)

    assert (first.status_code, second.status_code) == (200, 409)
    wait_for(web, order, "completed")


def test_an_order_that_does_not_exist_is_not_found(web: TestClient) -> None:
    """And neither is its saga."""
    assert web.get("/orders/nothing").status_code == 404
    assert web.get("/orders/nothing/saga").status_code == 404
    assert web.get("/health").json()["state"] in ("starting", "running")


def test_an_order_that_was_committed_without_its_saga_gets_one(shop_url: str) -> None:
    """As if the process had died between the two."""
    with Session(create_engine(shop_url)) as session, session.begin():
        session.add(Order(order_id="7", customer="ann", card="valid", lines=[]))

    with TestClient(app) as web:
        assert wait_for(web, "7", "completed")["saga_id"] == "fulfil_webshop_order-7"
