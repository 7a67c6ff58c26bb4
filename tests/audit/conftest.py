"""The ledger of the example for auditors, on both databases; tests only read it."""

from __future__ import annotations

import asyncio
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import psycopg
import pytest

from sagaledger.infrastructure.ledger.context import LedgerContext
from sagaledger.infrastructure.ledger.ledger import Ledger

EXAMPLE = Path(__file__).parents[2] / "examples" / "audited_orders.py"


@pytest.fixture(scope="session")
def example() -> SimpleNamespace:
    """The example's names."""
    return SimpleNamespace(**runpy.run_path(str(EXAMPLE)))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def audited_url(
    request: pytest.FixtureRequest, example: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The URL of a ledger in which the example has run."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('audited') / 'audited.db'}"
    else:
        server: str = request.getfixturevalue("postgres_server")
        schema = f"audited_{request.module.__name__.rpartition('.')[2]}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(psycopg.sql.Identifier(schema)))
        url = f"{server}&options={quote(f'-csearch_path={schema}')}"
    asyncio.run(example.main(url))
    return url


@pytest.fixture
def context(audited_url: str, example: SimpleNamespace) -> Iterator[LedgerContext]:
    """That ledger, opened by the example's app, with its views at the head."""
    with Ledger.open(audited_url, example.app) as ledger:
        ledger.context.projector().catch_up()
        yield ledger.context
