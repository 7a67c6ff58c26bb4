"""The views in a PostgreSQL schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any, Final

from psycopg.errors import UndefinedTable
from sqlalchemy import Connection, CursorResult, Table, create_engine, event, func, select
from sqlalchemy.exc import NoSuchTableError, ProgrammingError
from sqlalchemy.schema import DDL

from ..forking import leave_to_parent, on_fork
from ..sql_files import queries
from ..view_store import (
    CONNECTION_WAIT_SECONDS,
    CONNECTIONS_KEPT,
    CONNECTIONS_MAX,
    all_rows_of,
    query_errors,
    transaction,
)
from .connection import PostgresConnection

_INSTALLING: Final = 0x5A6A_1ED6
"""The advisory lock of every process that creates tables of views; the number means nothing."""


_CHECKPOINTS: Final = "projections"
"""The table whose owner has the tables of views, too."""


class PostgresViewStore:
    """Opens transactions in a PostgreSQL schema (see `view_store.ViewStore` for what each method promises).

    `open_connection`: opens another connection to it, in autocommit.
    `place`: names the database in error messages.
    """

    def __init__(self, open_connection: Callable[[], PostgresConnection], place: str) -> None:
        def open_transactional() -> PostgresConnection:
            connection = open_connection()
            connection.autocommit = False
            return connection

        self._engine = create_engine(
            "postgresql+psycopg://",
            creator=open_transactional,
            pool_size=CONNECTIONS_KEPT,
            max_overflow=CONNECTIONS_MAX - CONNECTIONS_KEPT,
            pool_timeout=CONNECTION_WAIT_SECONDS,
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,  # the first query after a failover must not meet a connection that died with it
        )
        event.listen(self._engine, "begin", _set_in_transaction)
        self._snapshots = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._place = place
        self.dialect = self._engine.dialect
        on_fork(self)

    def after_fork(self) -> None:
        """Leave the connections to the parent."""
        leave_to_parent(self._engine.pool)
        self._engine.dispose(close=False)

    def reading(self) -> AbstractContextManager[Connection]:
        return transaction(self._snapshots, self._place)

    def writing(self) -> AbstractContextManager[Connection]:
        return transaction(self._engine, self._place)

    def lock_installation(self, connection: Connection) -> None:
        connection.execute(select(func.pg_advisory_xact_lock(_INSTALLING)))
        connection.exec_driver_sql(queries("postgres")["as_owner_of"], (_CHECKPOINTS,))

    def hold(self, connection: Connection, table: Table) -> None:
        # PostgreSQL takes the snapshot with the statement after this one, and so of the table that is held.
        lock = DDL("LOCK TABLE %(fullname)s IN ACCESS SHARE MODE")  # type: ignore[no-untyped-call]
        try:
            connection.execute(lock.against(table))
        except ProgrammingError as error:
            if isinstance(error.orig, UndefinedTable):
                raise NoSuchTableError(table.name) from error
            raise

    @contextmanager
    def asking(self, statement: str, limit: int) -> Iterator[CursorResult[Any]]:
        # With a parameter the driver uses the extended protocol, which takes one statement only.
        asked = f"{all_rows_of(statement).replace('%', '%%')} LIMIT %s"
        with (
            self.reading() as connection,
            query_errors(connection),
            closing(connection.exec_driver_sql(asked, (limit,), {"stream_results": True})) as found,
        ):
            yield found

    def close(self) -> None:
        self._engine.dispose()


def _set_in_transaction(connection: Connection) -> None:
    """Set in the transaction what its session does not have, if that is a pooler's."""
    driver_connection = connection.connection.driver_connection
    if isinstance(driver_connection, PostgresConnection):
        driver_connection.set_in_transaction()
