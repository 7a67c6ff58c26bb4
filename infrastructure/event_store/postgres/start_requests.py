"""Start requests in PostgreSQL: rows that other programs write in their own transactions."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import Column, DateTime, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy import Connection as SqlalchemyConnection
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from ....domain.errors import InvalidInput
from ...errors import NotALedger
from ..start_requests import NewStartRequest, StartRequest, StartRequestOutcome
from ..work_queue import FencingToken
from .database import SQL, PostgresDatabase
from .work_queue import definition_columns

_UNDEFINED: Final = ("42P01", "3F000")
"""The SQLSTATEs of a table, and of a schema, that does not exist."""


class PostgresStartRequests:
    """The start requests of the schema (the port `StartRequests` says what each method promises)."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def put(self, connection: Any, request: NewStartRequest) -> None:
        match connection:
            case psycopg.Connection():
                self._put_with_psycopg(connection, request)
            case Session():
                self._put_with_sqlalchemy(connection.connection(), request)
            case SqlalchemyConnection():
                self._put_with_sqlalchemy(connection, request)
            case _ if _is_asynchronous(connection):
                raise InvalidInput(
                    f"{_kind(connection)} is asynchronous: `await AsyncLedger.start_in(…)` starts a saga in its "
                    "transaction (or pass the synchronous one that its run_sync has, if it is SQLAlchemy's)"
                )
            case _:
                raise InvalidInput(
                    f"{_kind(connection)} is no connection in which a saga can be started: pass a psycopg Connection, "
                    "or a SQLAlchemy Connection or Session (`AsyncLedger.start_in` takes their asynchronous kinds)"
                )

    async def put_async(self, connection: Any, request: NewStartRequest) -> None:
        schema = self._database.schema
        if isinstance(connection, psycopg.AsyncConnection):
            with self._of_this_ledger():
                await connection.execute(_insert(schema), request)
        elif isinstance(connection, _sqlalchemy_types("AsyncSession", "AsyncConnection")):
            is_session = isinstance(connection, _sqlalchemy_types("AsyncSession"))
            with self._of_this_ledger():
                open_ = await connection.connection() if is_session else connection
                await open_.execute(_table(schema).insert(), request._asdict())
        elif isinstance(connection, (psycopg.Connection, Session, SqlalchemyConnection)):
            raise InvalidInput(
                f"{_kind(connection)} is synchronous, and would block the event loop: pass a psycopg AsyncConnection, "
                "or a SQLAlchemy AsyncConnection or AsyncSession, or use `Ledger.start_in`"
            )
        else:
            raise InvalidInput(
                f"{_kind(connection)} is no connection in which a saga can be started: pass a psycopg AsyncConnection, "
                "or a SQLAlchemy AsyncConnection or AsyncSession (`Ledger.start_in` takes their synchronous kinds)"
            )

    def take(self, token: FencingToken, *, definitions: Sequence[tuple[str, int]], limit: int) -> list[StartRequest]:
        wanted = {
            "worker_id": token.worker_id,
            "limit": limit,
            **definition_columns(definitions),
        }
        with self._database.transaction() as connection:
            taken = connection.execute(SQL["take_start_requests"], wanted, binary=True).fetchall()
        return sorted(StartRequest(*row) for row in taken)

    def release(self, token: FencingToken) -> None:
        with self._database.transaction() as connection:
            connection.execute(SQL["release_start_requests"], (token.worker_id,))

    def settle(self, outcomes: Sequence[StartRequestOutcome]) -> None:
        columns = [[outcome.request_id for outcome in outcomes], [outcome.refusal for outcome in outcomes]]
        with self._database.transaction() as connection:
            connection.execute(SQL["settle_start_requests"], columns)

    def listed(self, *, limit: int) -> list[StartRequest]:
        return [StartRequest(*row) for row in self._database.fetch("start_requests", (limit,))]

    def _put_with_psycopg(self, connection: psycopg.Connection[Any], request: NewStartRequest) -> None:
        insert = _insert(self._database.schema)
        with self._of_this_ledger():
            connection.execute(insert, request)

    def _put_with_sqlalchemy(self, connection: SqlalchemyConnection, request: NewStartRequest) -> None:
        insert = _table(self._database.schema).insert()
        with self._of_this_ledger():
            connection.execute(insert, request._asdict())

    @contextmanager
    def _of_this_ledger(self) -> Iterator[None]:
        """Raise `NotALedger` if the caller's connection leads to a database without this ledger's table."""
        try:
            yield
        except psycopg.Error as error:
            if error.sqlstate not in _UNDEFINED:
                raise
            raise self._other_database() from error
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", getattr(error.orig, "pgcode", None)) not in _UNDEFINED:
                raise
            raise self._other_database() from error

    def _other_database(self) -> NotALedger:
        return NotALedger(
            "the connection leads to a database without this ledger (there is no table "
            f"{self._database.schema}.requests): pass one to {self._database.description}, so that the saga commits "
            "with your own rows"
        )


def _kind(connection: Any) -> str:
    return f"a {type(connection).__module__}.{type(connection).__qualname__}"


def _is_asynchronous(connection: Any) -> bool:
    return isinstance(connection, (psycopg.AsyncConnection, *_sqlalchemy_types("AsyncSession", "AsyncConnection")))


def _sqlalchemy_types(*names: str) -> tuple[type[Any], ...]:
    """Return asynchronous types of SQLAlchemy; none if no program has imported that part, which needs greenlet."""
    module = sys.modules.get("sqlalchemy.ext.asyncio")
    return () if module is None else tuple(getattr(module, name) for name in names)


def _insert(schema: str) -> sql.Composed:
    return sql.SQL("INSERT INTO {}.requests ({}) VALUES ({})").format(
        sql.Identifier(schema),
        sql.SQL(", ").join(map(sql.Identifier, NewStartRequest._fields)),
        sql.SQL(", ").join(sql.Placeholder() * len(NewStartRequest._fields)),
    )


def _table(schema: str) -> Table:
    return Table(
        "requests",
        MetaData(schema=schema),
        Column("saga_id", Text),
        Column("definition", Text),
        Column("definition_version", Integer),
        Column("fingerprint", Text),
        Column("input", LargeBinary),
        Column("begins_at", DateTime(timezone=True)),
        Column("actor", Text),
    )
