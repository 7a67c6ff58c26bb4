"""Opening a ledger: what is not one is refused, with its name and the remedy."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from sagaledger.infrastructure.errors import NotALedger, Unavailable
from sagaledger.infrastructure.event_store.append_call import Appended
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.sqlite.store import SqliteStore
from sagaledger.infrastructure.ledger.ledger import Ledger

from ..ledger.trip import APP, Trip, trip

if TYPE_CHECKING:
    from .conftest import Pen


def by_hand(url: str, *statements: str) -> None:
    """Change a database as a person with an SQL shell would."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        for statement in statements:
            connection.execute(statement)
        connection.close()
    else:
        with psycopg.connect(url, autocommit=True) as server:
            for statement in statements:
                server.execute(statement)


def test_a_ledger_opened_again_is_the_same(url: str, log: Backend, pen: Pen) -> None:
    """What was written is there; creating the schema again changes nothing."""
    log.append(pen.call(pen.append("a", 1)))

    again = open_backend(url, create=True)

    assert again.head() == log.head()
    again.close()


def test_an_absent_file_is_created(sqlite_url: str) -> None:
    """A SQLite ledger needs no preparation."""
    log = open_backend(sqlite_url)

    assert log.head().position == 0
    log.close()


def test_a_schema_without_a_ledger_names_init(postgres_url: str) -> None:
    """In PostgreSQL nothing is created without `create`."""
    with pytest.raises(NotALedger, match="sagaledger init --db postgresql://"):
        open_backend(postgres_url)


def test_a_newer_schema_names_the_upgrade(url: str) -> None:
    """This version cannot know what a later one means, and `init` cannot go back."""
    open_backend(url, create=True).close()
    by_hand(url, "INSERT INTO sagaledger_schema SELECT 999, applied_at FROM sagaledger_schema LIMIT 1")

    for create in (False, True):
        with pytest.raises(NotALedger, match=r"schema version 999.*pip install --upgrade"):
            open_backend(url, create=create)


def test_an_older_schema_names_init_which_upgrades_it(postgres_url: str, pen: Pen) -> None:
    """What the older version wrote is kept."""
    log = open_backend(postgres_url, create=True)
    log.append(pen.call(pen.append("a", 1)))
    log.close()
    by_hand(
        postgres_url,
        "DROP FUNCTION append_events, decide_appends",
        "DROP TABLE definitions, structures, requests",
        "DELETE FROM sagaledger_schema WHERE version > 2",
    )
    with pytest.raises(NotALedger, match=r"schema version 2.*sagaledger init"):
        open_backend(postgres_url)

    upgraded = open_backend(postgres_url, create=True)

    assert upgraded.append(pen.call(pen.append("a", 2))).outcomes == [Appended(2, 2)]
    upgraded.close()


def test_a_database_of_another_program_is_refused(url: str) -> None:
    """With tables of another program it is refused, also with `create`, and not changed."""
    by_hand(url, "CREATE TABLE customers (id integer)")

    with pytest.raises(NotALedger, match="customers"):
        open_backend(url, create=True)

    by_hand(url, "DROP TABLE customers")
    open_backend(url, create=True).close()  # the refused attempt left nothing


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A text file keeps its content."""
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but long enough to have a header " * 10)

    with pytest.raises(NotALedger, match=r"notes\.txt is not a SQLite database"):
        open_backend(f"sqlite:///{file}")

    assert file.read_text().startswith("not a database")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder is not a file."""
    with pytest.raises(NotALedger, match="is a folder"):
        open_backend(f"sqlite:///{tmp_path}")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The folder of the file must exist: a typing error must not create one."""
    with pytest.raises(Unavailable, match=r"/absent does not exist"):
        open_backend(f"sqlite:///{tmp_path}/absent/ledger.db")


@pytest.mark.parametrize("url", ["mysql://host/db", "ledger.db", "", "sqlite://", "sqlite:///", "sqlite:ledger.db"])
def test_an_unknown_url_names_the_known_forms(url: str) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(Unavailable, match=r"sqlite:///file\.db"):
        open_backend(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:geheim@127.0.0.1:1/db",  # no server listens
        "postgresql://ann:geheim@127.0.0.1:1:2/db",  # not a URL
        "postgresql://ann@127.0.0.1:1/db?password=geheim",
        "postgresql://ann:geheim@no-such-host.invalid/db",
    ],
)
def test_an_unreachable_server_is_named_without_its_password(url: str) -> None:
    """An error message ends up in logs and tickets."""
    with pytest.raises(Unavailable) as raised:
        open_backend(url)

    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize("form", ["postgresql://postgres:geheim@/{}", "postgresql://postgres@/{}&password=geheim"])
def test_a_remedy_shows_the_url_without_its_password(postgres_url: str, form: str) -> None:
    """Also in a command that the message recommends."""
    rest = postgres_url.partition("@/")[2]

    with pytest.raises(NotALedger, match="sagaledger init") as raised:
        open_backend(form.format(rest))

    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize("form", ["postgresql://postgres:ge:heim@/{}", "postgresql://postgres@/{}&password=geheim"])
def test_a_backend_is_named_without_its_password(postgres_url: str, form: str) -> None:
    """The name is for messages; the URL is for processes that open the same ledger."""
    url = form.format(postgres_url.partition("@/")[2])

    log = open_backend(url, create=True)

    assert "heim" not in log.name
    assert log.name.startswith("postgresql://postgres")
    assert log.url == url
    log.close()


def test_a_locked_file_is_named_after_a_bounded_wait(tmp_path: Path, pen: Pen) -> None:
    """Another program's transaction does not end: nothing was written, and the message says what to do."""
    log = SqliteStore(tmp_path / "ledger.db", url="sqlite:///ledger.db", busy_seconds=0.1)
    holder = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    with pytest.raises(Unavailable, match=r"ledger\.db stayed locked for 0\.1 s"):
        log.append(pen.call(pen.append("a", 1)))

    holder.execute("ROLLBACK")
    assert log.append(pen.call(pen.append("a", 1))).outcomes == [Appended(1, 1)]
    holder.close()
    log.close()


def test_a_read_only_database_is_named(url: str, log: Backend, pen: Pen) -> None:
    """The error says so, and nothing was written. What the server's own configuration fences off stays fenced off."""
    if isinstance(log, SqliteStore):
        with log._file.writing() as connection:
            connection.execute("PRAGMA query_only = ON")
    else:
        _configure_server(url, "ALTER SYSTEM SET default_transaction_read_only = on", expected="on")
    try:
        with pytest.raises(Unavailable, match="read-only"):
            log.append(pen.call(pen.append("a", 1)))
    finally:
        if not isinstance(log, SqliteStore):
            _configure_server(url, "ALTER SYSTEM RESET default_transaction_read_only", expected="off")

    assert log.head().position == 0


def _configure_server(url: str, statement: str, *, expected: str) -> None:
    """Change the server's configuration, and wait until new connections have it."""
    by_hand(url, statement, "SELECT pg_reload_conf()")
    for _ in range(100):
        with psycopg.connect(url) as connection:
            if connection.info.parameter_status("default_transaction_read_only") == expected:
                return
        time.sleep(0.05)
    raise AssertionError(f"the server did not take {statement}")


def test_an_upgrade_records_the_fingerprints_that_the_log_has(url: str) -> None:
    """A ledger from before there was a record of them."""
    with Ledger.open(url, APP, create=True) as ledger:
        ledger.start(trip, Trip("Rome", 4))
        ledger.start(trip, Trip("Oslo", 2))
        recorded = ledger.backend.fingerprints()
    if url.startswith("sqlite"):
        by_hand(
            url, "DROP TABLE definitions", "DROP TABLE structures", "DELETE FROM sagaledger_schema WHERE version >= 2"
        )
    else:
        by_hand(url, "DROP TABLE definitions, structures, requests", "DELETE FROM sagaledger_schema WHERE version >= 4")

    with Ledger.open(url, APP, create=True) as upgraded:
        assert upgraded.backend.fingerprints() == recorded == {("trip", 1): trip.definition.fingerprint}
