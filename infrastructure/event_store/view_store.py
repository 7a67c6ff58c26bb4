"""The view store: the SQL database in which the views of a ledger live.

Each backend has one (`Backend.views`). It is the only part of the port that speaks SQL, as SQLAlchemy connections, and
it hides what differs between databases. Any number of threads share it, and each transaction borrows one connection:
a thread that opens a second transaction inside the first may wait for itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol

from sqlalchemy import Connection, CursorResult, Dialect, Engine, Table
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ...domain.errors import InvalidInput
from ..errors import PermanentlyUnavailable, Unavailable

CONNECTIONS_KEPT: Final = 5
"""How many idle connections a view store keeps open."""
CONNECTIONS_MAX: Final = 15
"""How many connections a view store opens at once; further threads wait."""
CONNECTION_WAIT_SECONDS: Final = 30.0

_MAY_NOT_WRITE: Final = "25006"
"""PostgreSQL's code for a transaction that may not write."""
_MAY_NOT: Final = "42501"
"""PostgreSQL's code for a role that may not do something."""


class ViewStore(Protocol):
    """The database of the views."""

    @property
    def dialect(self) -> Dialect:
        """The SQL dialect of the database."""
        ...

    def reading(self) -> AbstractContextManager[Connection]:
        """Open one snapshot: everything read in it is of one moment. Raises `Unavailable`."""
        ...

    def writing(self) -> AbstractContextManager[Connection]:
        """Open one transaction that writes; SQLite takes its write lock at the start. Raises `Unavailable`."""
        ...

    def lock_installation(self, connection: Connection) -> None:
        """Keep other processes from creating tables until this write transaction ends.

        What is created in it belongs to the role that has the other views, if the database has roles.
        """
        ...

    def hold(self, connection: Connection, table: Table) -> None:
        """Keep a table from being replaced by a rebuild until this snapshot ends.

        It must come first in the snapshot. Raises `sqlalchemy.exc.NoSuchTableError` if there is no such table; the
        snapshot cannot be used after that.
        """
        ...

    def asking(self, statement: str, limit: int) -> AbstractContextManager[CursorResult[Any]]:
        """Run one SELECT that a person wrote, in a snapshot. Returns at most `limit` rows, as the driver has them.

        Nothing but a query can be run, and nothing is written. Raises `InvalidInput` for any other SQL, also while the
        rows are read, and `Unavailable`.
        """
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


@contextmanager
def query_errors(connection: Connection) -> Iterator[None]:
    """Translate what a database says of SQL that a person wrote. Raises `InvalidInput`."""
    try:
        yield
    except DBAPIError as error:
        if is_unavailability(error):
            raise
        raise InvalidInput(
            f"the database ({connection.dialect.name}) does not answer this SQL: {first_line(error)}; it must be one "
            "SELECT (`sagaledger projections` shows the views)"
        ) from error


def all_rows_of(statement: str) -> str:
    """Return a select of what SQL that a person wrote selects, to which more can be added: it ends in no comment.

    Both drivers run it as one statement. Therefore whatever is no query is a syntax error there.
    """
    return f"SELECT * FROM (\n{statement.strip().removesuffix(';')}\n) AS asked"  # noqa: S608 -- see `asking`


@contextmanager
def transaction(engine: Engine, place: str) -> Iterator[Connection]:
    """Open a transaction of an engine, and translate the errors that mean that the database cannot be used now.

    `place` names the database in their message. Raises `Unavailable`.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        if not is_unavailability(error):
            raise
        kind = PermanentlyUnavailable if _is_permanent(error) else Unavailable
        raise kind(f"the views in {place} cannot be used now: {first_line(error)}") from error
    except PoolTimeout as error:
        raise Unavailable(
            f"every connection of this process to the views in {place} was in use for "
            f"{CONNECTION_WAIT_SECONDS:g} seconds: retry"
        ) from error


def is_unavailability(error: BaseException) -> bool:
    """Whether an error means that the database cannot be used now, rather than that a statement is wrong."""
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):  # SQLite reports a missing table, too, as an OperationalError
        code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        return code & 0xFF not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH)
    if getattr(error.orig, "sqlstate", None) in (_MAY_NOT_WRITE, _MAY_NOT):
        return True
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def _is_permanent(error: DBAPIError) -> bool:
    """Whether an unavailability lasts until a person changes a permission."""
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF == sqlite3.SQLITE_READONLY
    return getattr(error.orig, "sqlstate", None) == _MAY_NOT


def first_line(error: BaseException) -> str:
    """The first line of the database's own message, without its hints and without the statement."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
