"""Connections to SQLite: the only ones that this package opens, so that each statement crosses the boundary."""

from __future__ import annotations

import sqlite3
from typing import Any

from ...runtime import failpoints as boundary
from ...runtime.failpoints import crossing


class BoundaryCursor(sqlite3.Cursor):
    """A cursor whose statements can be watched."""

    def execute(self, sql: str, parameters: Any = (), /) -> BoundaryCursor:
        if boundary.watcher is None:
            return super().execute(sql, parameters)
        with crossing(_name(sql)):
            return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> BoundaryCursor:
        if boundary.watcher is None:
            return super().executemany(sql, parameters)
        with crossing(_name(sql)):
            return super().executemany(sql, parameters)


class BoundaryConnection(sqlite3.Connection):
    """A connection whose statements and commits can be watched."""

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or BoundaryCursor)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if boundary.watcher is None:
            return super().execute(sql, parameters)
        with crossing(_name(sql)):
            return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        if boundary.watcher is None:
            return super().executemany(sql, parameters)
        with crossing(_name(sql)):
            return super().executemany(sql, parameters)

    def commit(self) -> None:
        with crossing("sqlite COMMIT"):
            super().commit()

    def rollback(self) -> None:
        with crossing("sqlite ROLLBACK"):
            super().rollback()


def connect(database: Any, *, timeout_seconds: float = 5.0, uri: bool = False) -> BoundaryConnection:
    """A connection in autocommit, for any thread."""
    with crossing("sqlite connect"):
        return sqlite3.connect(
            database,
            timeout=timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
            uri=uri,
            factory=BoundaryConnection,
        )


def _name(sql: str) -> str:
    """A statement's first words."""
    return " ".join(["sqlite", *sql.split(maxsplit=3)[:3]])
