"""A database that is away, and one whose answer is lost, behind an API that goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from sagaledger import Ledger
from sagaledger.infrastructure.api.asgi import asgi

from ..chaos.proxy import Proxy
from .app import APP
from .client import Client

NOTE = {"definition": "note", "input": "hello"}


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    """What stands between the API and the server."""
    folder = Path(parse_qs(urlsplit(postgres_url).query)["host"][0])
    with Proxy(folder / ".s.PGSQL.5432") as opened:
        yield opened


@pytest.fixture
def client(postgres_url: str, proxy: Proxy) -> Iterator[Client]:
    """A client of the API behind it."""
    folder = parse_qs(urlsplit(postgres_url).query)["host"][0]
    with Ledger.open(postgres_url.replace(folder, str(proxy.folder)), APP) as ledger, Client(asgi(ledger)) as opened:
        yield opened


def test_a_dead_database_is_told_and_comes_back_by_itself(client: Client, proxy: Proxy) -> None:
    """With 503 and a time to come again; the server lives, and is not ready."""
    before = client.post("/sagas", NOTE, key="k")
    proxy.leave()
    asked = [client.get("/log/head"), client.get("/sagas"), client.post("/sagas", NOTE, key="other")]
    ready, alive = client.get("/readyz"), client.get("/livez")
    proxy.come_back()
    after = client.post("/sagas", NOTE, key="k")

    assert [(each.status_code, each.headers["retry-after"]) for each in asked] == [(503, "2")] * 3
    assert {each.json()["type"] for each in asked} <= {
        "urn:sagaledger:problem:unavailable",
        "urn:sagaledger:problem:outcome-unknown",
    }
    assert (ready.status_code, alive.status_code) == (503, 200)
    assert client.get("/readyz").status_code == 200
    assert after.json() == before.json()


def test_a_lost_answer_of_the_database_is_no_second_saga(client: Client, proxy: Proxy) -> None:
    """The append is found by its id."""
    proxy.lose_reply()
    done = client.post("/sagas", NOTE, key="k")
    again = client.post("/sagas", NOTE, key="k")

    assert proxy.lost == 1
    assert (done.status_code, again.json()) == (201, done.json())
    assert client.json("/log/head")["position"] == 1
