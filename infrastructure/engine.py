"""SQLAlchemy engines for a ledger's database, with transactions that say whether they read or write."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError

from .errors import Unavailable

BUSY_SECONDS_MAX = 30.0
"""How long a SQLite transaction waits for those that write before it."""
RETRY_SECONDS = 0.001
"""SQLite's own back-off sleeps ever longer and so loses to writers that ask more often; asking every millisecond
does not."""
CONNECT_SECONDS_MAX = 5

_BEGIN = "sagaledger_begin"


def create_engine_for(url: str) -> Engine:
    """An engine for a ledger's URL: `sqlite:///file.db` (which must exist) or `postgresql://…`.

    Raises `Unavailable` for a URL of another kind.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise Unavailable(f"{url!r} is not a database URL: use sqlite:///FILE or postgresql://HOST/NAME") from error
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite_engine(parsed)
        case "postgresql":
            return create_engine(
                parsed.set(drivername="postgresql+psycopg"), connect_args={"connect_timeout": CONNECT_SECONDS_MAX}
            )
        case other:
            raise Unavailable(f"no ledger can live in {other!r}: use sqlite:///FILE or postgresql://HOST/NAME")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One snapshot: everything read in it is of one moment. Raises `Unavailable`."""
    options: dict[str, Any] = {_BEGIN: "BEGIN"}
    if engine.dialect.name == "postgresql":
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with _translated(engine), engine.execution_options(**options).begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes, and on SQLite holds the write lock from its start. Raises `Unavailable`."""
    with _translated(engine), engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
        yield connection


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise Unavailable(f"{engine.url.render_as_string()} cannot be used now: {_first_line(error)}") from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise Unavailable(f"{engine.url.render_as_string()} closed the connection: {_first_line(error)}") from error


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]


def _sqlite_engine(url: URL) -> Engine:
    address = f"file:{quote(url.database or '')}?mode=rw"  # rw, not rwc: a mistyped name must not become a new file

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            address, uri=True, timeout=BUSY_SECONDS_MAX, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: each checkpoint waits for the disk
        return connection

    engine = create_engine(url, creator=connect)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    """Begin the transaction that the caller asked for; the driver, left to itself, would begin one at odd moments."""
    statement = connection.get_execution_options().get(_BEGIN, "BEGIN")
    if statement == "BEGIN":
        connection.exec_driver_sql("BEGIN")
        return
    deadline = time.monotonic() + BUSY_SECONDS_MAX
    connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.exec_driver_sql(statement)
            except OperationalError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_SECONDS)
            else:
                return
    finally:
        connection.exec_driver_sql("PRAGMA busy_timeout = 30000")


def _is_busy(error: OperationalError) -> bool:
    return isinstance(error.orig, sqlite3.OperationalError) and (
        error.orig.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    )
