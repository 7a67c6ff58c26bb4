"""Connections to SQLite. This package opens no others, so that a failpoint can be set at every statement."""

from __future__ import annotations

import sqlite3
from typing import Any

from ...runtime import failpoints
from ...runtime.failpoints import failpoint


class SqliteCursor(sqlite3.Cursor):
    """A cursor with a failpoint at each statement."""

    def execute(self, sql: str, parameters: Any = (), /) -> SqliteCursor:
        if failpoints.listener is None:
            return super().execute(sql, parameters)
        with failpoint(_failpoint_name(sql)):
            return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> SqliteCursor:
        if failpoints.listener is None:
            return super().executemany(sql, parameters)
        with failpoint(_failpoint_name(sql)):
            return super().executemany(sql, parameters)


class SqliteConnection(sqlite3.Connection):
    """A connection with a failpoint at each statement and each commit."""

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or SqliteCursor)

    # `execute` and `executemany` of the base class make a plain cursor in C, without calling `cursor`.
    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if failpoints.listener is None:
            return super().execute(sql, parameters)
        with failpoint(_failpoint_name(sql)):
            return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        if failpoints.listener is None:
            return super().executemany(sql, parameters)
        with failpoint(_failpoint_name(sql)):
            return super().executemany(sql, parameters)

    def commit(self) -> None:
        with failpoint("sqlite COMMIT"):
            super().commit()

    def rollback(self) -> None:
        with failpoint("sqlite ROLLBACK"):
            super().rollback()


def connect(database: Any, *, timeout_seconds: float = 5.0, uri: bool = False) -> SqliteConnection:
    """Return a connection in autocommit, for any thread."""
    with failpoint("sqlite connect"):
        return sqlite3.connect(
            database,
            timeout=timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
            uri=uri,
            factory=SqliteConnection,
        )


def _failpoint_name(sql: str) -> str:
    """Return the first words of a statement, by which its failpoint is known."""
    return " ".join(["sqlite", *sql.split(maxsplit=3)[:3]])
