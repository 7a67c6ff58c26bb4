"""The views in a SQLite database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, NullPool, QueuePool, Table, create_engine, event, inspect
from sqlalchemy.exc import NoSuchTableError, OperationalError

from ..forking import leave_to_parent, on_fork
from ..view_store import (
    CONNECTION_WAIT_SECONDS,
    CONNECTIONS_KEPT,
    CONNECTIONS_MAX,
    all_rows_of,
    query_errors,
    transaction,
)
from .ledger_file import LedgerFile
from .quiescence import using_sqlite, was_at_rest

_BUSY_SECONDS_MAX: Final = 30.0
"""How long a transaction waits for the writers before it."""
_RETRY_SECONDS: Final = 0.001
"""SQLite's own back-off sleeps so long that a busy file starves the waiting writer."""
_BEGIN: Final = "sagaledger_begin"
"""The execution option that holds the statement with which a transaction begins."""


class SqliteViewStore:
    """Opens transactions on a SQLite database (see `view_store.ViewStore` for what each method promises).

    `open_connection`: opens another connection to it, in autocommit and usable from any thread.
    `place`: names the database in error messages.
    `connections_max`: how many it opens at once; with 1, a database in memory lives until the store is closed.
    `file`: the file that they lead to, if it is one; how a read-only file is read is decided for each transaction.
    """

    def __init__(
        self,
        open_connection: Callable[[], sqlite3.Connection],
        place: str,
        *,
        connections_max: int = CONNECTIONS_MAX,
        file: LedgerFile | None = None,
    ) -> None:
        if file is not None and file.read_only:
            self._engine = create_engine("sqlite://", creator=open_connection, poolclass=NullPool)
        else:
            kept = min(CONNECTIONS_KEPT, connections_max)
            self._engine = create_engine(
                "sqlite://",
                creator=open_connection,
                poolclass=QueuePool,
                pool_size=kept,
                max_overflow=connections_max - kept,
                pool_timeout=CONNECTION_WAIT_SECONDS,
            )
        self._file = file
        event.listen(self._engine, "begin", _begin)
        self._writing = self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        self._place = place
        self.dialect = self._engine.dialect
        on_fork(self)

    @classmethod
    def of_file(cls, file: LedgerFile) -> SqliteViewStore:
        """The views in a ledger's file, which is not created if it is absent."""

        def open_connection() -> sqlite3.Connection:
            connection = file.connect(timeout_seconds=_BUSY_SECONDS_MAX)
            if not file.read_only:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: each checkpoint waits for the disk
            return connection

        return cls(open_connection, str(file.path), file=file)

    def after_fork(self) -> None:
        """Close the parent's connections if they were at rest, and open others when they are needed."""
        if was_at_rest():
            self._engine.dispose()
        else:
            leave_to_parent(self._engine.pool)
            self._engine.dispose(close=False)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with using_sqlite(), transaction(self._engine, self._place) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        if self._file is not None:
            self._file.refuse_writing()
        with using_sqlite(), transaction(self._writing, self._place) as connection:
            yield connection

    def lock_installation(self, _: Connection) -> None:
        """The write transaction has the write lock already."""

    def hold(self, connection: Connection, table: Table) -> None:
        if not inspect(connection).has_table(table.name):  # the snapshot includes the schema: nothing is to be locked
            raise NoSuchTableError(table.name)

    @contextmanager
    def asking(self, statement: str, limit: int) -> Iterator[CursorResult[Any]]:
        with self.reading() as connection, query_errors(connection):
            yield connection.exec_driver_sql(f"{all_rows_of(statement)} LIMIT ?", (limit,))

    def close(self) -> None:
        self._engine.dispose()


def _begin(connection: Connection) -> None:
    """Begin a transaction explicitly: Python's driver would begin it only before the first write."""
    statement = connection.get_execution_options().get(_BEGIN, "BEGIN")
    if statement == "BEGIN":
        connection.exec_driver_sql(statement)
        return
    deadline = time.monotonic() + _BUSY_SECONDS_MAX
    connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.exec_driver_sql(statement)
            except OperationalError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                return
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {_BUSY_SECONDS_MAX * 1000:.0f}")


def _is_busy(error: OperationalError) -> bool:
    return isinstance(error.orig, sqlite3.OperationalError) and (
        error.orig.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    )
