"""Nothing is ever created by a read: each command and each call that reads, on a database without a ledger or views."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psycopg
import pytest

from sagaledger import AsyncLedger, Ledger, SagaledgerError, SagaNotFound, ScheduleNotFound
from sagaledger.domain.shop.fulfil_order import Order
from sagaledger.infrastructure.cli.exit_codes import ExitCode
from sagaledger.infrastructure.cli.main import run
from sagaledger.infrastructure.cli.registry import COMMANDS
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.verify import verify
from sagaledger.infrastructure.ledger.view_operations import compare_view, prune_views, view_checkpoints
from sagaledger.infrastructure.shop.app import APP

from .shell import ORDER

READS: tuple[tuple[str, ...], ...] = (
    ("list",),
    ("list", "--stalled"),
    ("list", "--attr", "country=France"),
    ("show", "fulfil_order-1"),
    ("history", "fulfil_order-1"),
    ("state", "fulfil_order-1"),
    ("diff", "fulfil_order-1", "v1", "v1"),
    ("changes", "@0"),
    ("query", "orders"),
    ("query", "sagas", "--at", "@0"),
    ("query", "saga_steps", "--format", "csv"),
    ("projections",),
    ("projections", "drift", "sagas"),
    ("projections", "prune"),
    ("definitions",),
    ("requests",),
    ("workers",),
    ("participants",),
    ("schedules", "list"),
    ("schedules", "show", "nightly"),
    ("deadletters", "list"),
    ("check",),
    ("sql", "SELECT 1 AS one"),
    ("sql", "SELECT 1 AS one", "--at", "@0"),
    ("stats",),
    ("decisions",),
    ("verify",),
    ("completion", "bash"),
    ("version",),
)
WRITES = {
    "demo", "init", "import", "run", "worker", "serve", "start", "cancel", "intervene", "signal", "approve", "refuse",
}  # fmt: skip
WITHOUT_A_DATABASE = ("completion", "version")


class Place(NamedTuple):
    """A database that a URL leads to."""

    url: str
    folder: Path | None
    """The folder of a SQLite file."""


def contents(place: Place) -> Any:
    """Return all that a read could create: files with what is in them, or schemas and relations."""
    if place.folder is not None:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in place.folder.iterdir()}
    with psycopg.connect(place.url.partition("&schema")[0]) as connection:
        return connection.execute(
            "SELECT nspname::text, NULL, NULL FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_t%' UNION ALL "
            "SELECT relnamespace::regnamespace::text, relname::text, relkind::text FROM pg_class UNION ALL "
            "SELECT 'function', proname::text, NULL FROM pg_proc ORDER BY 1, 2"
        ).fetchall()


def test_every_command_is_known_here_as_one_that_reads_or_one_that_writes() -> None:
    """A new command has to take a side."""
    assert {words[0] for words in READS} | WRITES == {name for name, *_ in COMMANDS}


@pytest.fixture(params=["missing file", "empty file", "empty database", "empty schema"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place without a ledger."""
    if request.param.endswith("database") or request.param.endswith("schema"):
        url: str = request.getfixturevalue("database_url")
        if request.param == "empty schema":
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE SCHEMA bare")
            url += "&schema=bare"
        return Place(url, None)
    folder = tmp_path / "ledgers"
    folder.mkdir()
    if request.param == "empty file":
        (folder / "ledger.db").touch()
    return Place(f"sqlite:///{folder / 'ledger.db'}", folder)


def test_no_command_creates_a_ledger_by_reading(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Each says on one line what is missing; so does the call that opens a ledger which has to exist."""
    before = contents(place)
    every = 1 if before == {} or "schema=bare" in place.url else 5  # the other places are like these

    for words in READS[::every]:
        code = run([*words, "--app", "shop", "--db", place.url])
        expected = (ExitCode.OK, 0) if words[0] in WITHOUT_A_DATABASE else (ExitCode.UNAVAILABLE, 1)
        assert (code, capsys.readouterr().err.count("\n")) == expected, words
    with pytest.raises(SagaledgerError):
        Ledger.open(place.url, APP, must_exist=True)

    assert contents(place) == before


@pytest.fixture
def bare(url: str, tmp_path: Path) -> Place:
    """A ledger that has a log and no view."""
    open_backend(url, create=True).close()
    return Place(url, tmp_path if url.startswith("sqlite") else None)


def relations(place: Place) -> Any:
    """Return the tables and indexes of a ledger."""
    if place.folder is None:
        return contents(place)
    with closing(sqlite3.connect(place.url.removeprefix("sqlite:///"))) as connection:
        return connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()


def test_no_command_creates_a_view_by_reading(bare: Place) -> None:
    """However much an app declares."""
    with Ledger.open(bare.url, APP) as ledger:
        ledger.context.backend.head()
    before = relations(bare)

    for words in READS:
        assert run([*words, "--app", "shop", "--db", bare.url]) in (ExitCode.OK, ExitCode.NOT_FOUND, ExitCode.USAGE), (
            words
        )

    assert relations(bare) == before


def test_no_call_creates_anything_by_reading(bare: Place) -> None:
    """Those of a ledger, of its schedules, and of asyncio programs."""
    reads: list[Callable[[Ledger], Any]] = [
        lambda ledger: ledger.history("fulfil_order-1"),
        lambda ledger: ledger.state("fulfil_order-1"),
        lambda ledger: ledger.state("fulfil_order-1", at="v1"),
        lambda ledger: list(ledger.states(["fulfil_order-1"])),
        lambda ledger: ledger.wait("fulfil_order-1", 0.01),
        lambda ledger: ledger.query("orders"),
        lambda ledger: ledger.query("sagas", where={"status": "completed"}, wait_for=0),
        lambda ledger: ledger.schedules.list(),
        lambda ledger: ledger.schedules.get("nightly"),
        lambda ledger: ledger.schedules.next_ticks("nightly"),
        lambda ledger: ledger.schedules.history("nightly"),
        lambda ledger: ledger.projector().checkpoints(),
        lambda ledger: ledger.query("sagas", at=datetime.now(UTC)),
        lambda ledger: ledger.changes("@0"),
        lambda ledger: compare_view(ledger.context, "sagas"),
        lambda ledger: view_checkpoints(ledger.context),
        lambda ledger: prune_views(ledger.context),
        lambda ledger: verify(ledger.backend),
    ]

    async def ask() -> None:
        async with AsyncLedger.open(bare.url, APP, must_exist=True) as ledger:
            assert (await ledger.query("orders")).rows == []
            with pytest.raises(SagaNotFound):
                await ledger.history("fulfil_order-1")

    before = relations(bare)
    with Ledger.open(bare.url, APP, must_exist=True) as ledger:
        for read in reads:
            with suppress(SagaNotFound, ScheduleNotFound):
                read(ledger)
    asyncio.run(ask())

    assert relations(bare) == before


def test_views_are_brought_up_without_the_tables_that_an_earlier_version_did_not_have(url: str, tmp_path: Path) -> None:
    """A ledger of version 0.1 has no notes of who follows a view and of what was declared."""
    place = Place(url, tmp_path if url.startswith("sqlite") else None)
    with Ledger.open(url, APP, create=True) as ledger:
        with ledger.backend.views.writing() as connection:
            connection.exec_driver_sql("DROP TABLE projection_declarations")
            connection.exec_driver_sql("DROP TABLE projection_followers")
        ledger.start("fulfil_order", msgspec.convert(ORDER, Order))
        before = relations(place)
        assert run(["list", "--app", "shop", "--db", url]) is ExitCode.OK
        assert len(ledger.query("sagas").rows) == 1

    assert relations(place) == before
