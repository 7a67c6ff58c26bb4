"""Ledgers with an API before them, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest

from sagaledger import Ledger, WorkerThread
from sagaledger.infrastructure.api.asgi import asgi

from ..prepared_ledgers import Create
from .app import APP, Payout, note, payout
from .client import Client


def create_payouts(url: str) -> None:
    """Create a ledger with the views of the app."""
    Ledger.open(url, APP, create=True).close()


@pytest.fixture(scope="session")
def created_by() -> Create:
    """What creates the ledgers."""
    return create_payouts


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """An empty ledger."""
    with Ledger.open(url, APP) as opened:
        yield opened


@pytest.fixture
def client(ledger: Ledger) -> Iterator[Client]:
    """A client of its API; no worker runs."""
    with Client(asgi(ledger)) as opened:
        yield opened


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def full_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a ledger in which sagas have ended, wait for approval, or need a person; tests only read it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('full') / 'full.db'}"
    else:
        server: str = request.getfixturevalue("postgres_server")
        schema = f"full_{request.module.__name__.rpartition('.')[2]}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(psycopg.sql.Identifier(schema)))
        url = f"{server}&options={quote(f'-csearch_path={schema}')}"
    with Ledger.open(url, APP, create=True) as ledger:
        for number in range(12):
            ledger.start(note, f"note {number}", key=f"n/{number}", actor="ann")
        for number in range(3):
            bank = "open" if number else "/no/such/bank"
            ledger.start(payout, Payout(f"P{number}", bank), actor="ann")
        for number in range(2):
            ledger.approve(f"payout-P{number}", "approval", "bob", actor="bob", reason="it is right")
        with WorkerThread(ledger) as worker:
            worker.idle()
        ledger.projector().catch_up()
    return url


@pytest.fixture(scope="module")
def full(full_url: str) -> Iterator[Client]:
    """A client of the API of that ledger."""
    with Ledger.open(full_url, APP) as ledger, Client(asgi(ledger)) as opened:
        yield opened
