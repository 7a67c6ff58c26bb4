"""SQLAlchemy engines for a ledger's database, with transactions that say whether they read or write."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from ..errors import Unavailable
from .sqlite import connection as sqlite_connection

BUSY_SECONDS_MAX = 30.0
"""How long a SQLite transaction waits for those that write before it."""
RETRY_SECONDS = 0.001
"""SQLite's own back-off sleeps ever longer and so loses to writers that ask more often; asking every millisecond
does not."""

_BEGIN = "sagaledger_begin"
_PLACE = "sagaledger_place"
_POSTGRES_DEFAULTS = {  # a server that vanishes without a word is noticed within seconds, not hours
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "fallback_application_name": "sagaledger",
}


def create_engine_for(url: str) -> Engine:
    """An engine for a ledger's URL: `sqlite:///file.db` (which must exist) or `postgresql://…`, as libpq reads it.

    Raises `Unavailable` for a URL of another kind.
    """
    scheme, _, rest = url.partition("://")
    match scheme:
        case "sqlite" if rest.startswith("/") and len(rest) > 1:
            return _sqlite_engine(rest[1:])
        case "postgresql" | "postgres":
            return _postgres_engine(url)
        case _:
            raise Unavailable(f"no ledger can live in {scheme!r}: use sqlite:///FILE or postgresql://HOST/NAME")


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


def is_unavailability(error: BaseException) -> bool:
    """Whether an error says that the database cannot be used now, rather than that a statement is wrong."""
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):  # its OperationalError is also said of a table that is not there
        code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        return code & 0xFF not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH)
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def first_line(error: BaseException) -> str:
    """What the database said, without its advice and without the statement."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if not is_unavailability(error):
            raise
        place = engine.get_execution_options()[_PLACE]
        raise Unavailable(f"the views in {place} cannot be reached now: {first_line(error)}") from error


def _postgres_engine(url: str) -> Engine:
    # Who works on SQLite does not wait for the import of another driver.
    import psycopg  # noqa: PLC0415
    from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: PLC0415

    from .postgres import connection as postgres_connection  # noqa: PLC0415

    try:
        given = conninfo_to_dict(url)
    except psycopg.Error:  # its message repeats the URL, and with it the password
        raise Unavailable("the PostgreSQL URL cannot be read: use postgresql://user@host:port/database") from None
    conninfo = make_conninfo(url, **{key: value for key, value in _POSTGRES_DEFAULTS.items() if key not in given})
    place = f"PostgreSQL database {given.get('dbname', '')!r} at {given.get('host', 'localhost')}"
    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: postgres_connection.connect(conninfo),
        execution_options={_PLACE: place},
    )


def _sqlite_engine(path: str) -> Engine:
    address = f"file:{quote(path)}?mode=rw"  # rw, not rwc: a mistyped name must not become a new file

    def connect() -> sqlite3.Connection:
        connection = sqlite_connection.connect(address, uri=True, timeout_seconds=BUSY_SECONDS_MAX)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: each checkpoint waits for the disk
        return connection

    engine = create_engine(f"sqlite:///{quote(path)}", creator=connect, execution_options={_PLACE: path})
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
