"""Connections to SQLite: the only ones that this package opens, so that each statement crosses the boundary."""

from __future__ import annotations

import sqlite3
from typing import Any

from ...runtime import failpoints
from ...runtime.failpoints import failpoint


class SqliteCursor(sqlite3.Cursor):
    """A cursor whose statements can be watched."""

    def execute(self, sql: str, parameters: Any = (), /) -> SqliteCursor:
        if failpoints.listener is None:
            return super().execute(sql, parameters)
        with failpoint(_name(sql)):
            return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> SqliteCursor:
        if failpoints.listener is None:
            return super().executemany(sql, parameters)
        with failpoint(_name(sql)):
            return super().executemany(sql, parameters)


class SqliteConnection(sqlite3.Connection):
    """A connection whose statements and commits can be watched."""

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or SqliteCursor)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if failpoints.listener is None:
            return super().execute(sql, parameters)
        with failpoint(_name(sql)):
            return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        if failpoints.listener is None:
            return super().executemany(sql, parameters)
        with failpoint(_name(sql)):
            return super().executemany(sql, parameters)

    def commit(self) -> None:
        with failpoint("sqlite COMMIT"):
            super().commit()

    def rollback(self) -> None:
        with failpoint("sqlite ROLLBACK"):
            super().rollback()


def connect(database: Any, *, timeout_seconds: float = 5.0, uri: bool = False) -> SqliteConnection:
    """A connection in autocommit, for any thread."""
    with failpoint("sqlite connect"):
        return sqlite3.connect(
            database,
            timeout=timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
            uri=uri,
            factory=SqliteConnection,
        )


def _name(sql: str) -> str:
    """A statement's first words."""
    return " ".join(["sqlite", *sql.split(maxsplit=3)[:3]])
