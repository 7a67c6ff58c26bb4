"""Start requests in PostgreSQL: rows that other programs write in their own transactions."""

from __future__ import annotations

from collections.abc import Sequence
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
        self._schema: str | None = None

    def put(self, connection: Any, request: NewStartRequest) -> None:
        match connection:
            case psycopg.Connection():
                self._put_with_psycopg(connection, request)
            case Session():
                self._put_with_sqlalchemy(connection.connection(), request)
            case SqlalchemyConnection():
                self._put_with_sqlalchemy(connection, request)
            case _:
                raise InvalidInput(
                    f"a {type(connection).__module__}.{type(connection).__qualname__} is no connection in which a "
                    "saga can be started: pass a psycopg Connection, or a SQLAlchemy Connection or Session (of an "
                    "AsyncConnection or AsyncSession by its run_sync)"
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
        insert = sql.SQL("INSERT INTO {}.requests ({}) VALUES ({})").format(
            sql.Identifier(self._ledger_schema()),
            sql.SQL(", ").join(map(sql.Identifier, NewStartRequest._fields)),
            sql.SQL(", ").join(sql.Placeholder() * len(NewStartRequest._fields)),
        )
        try:
            connection.execute(insert, request)
        except psycopg.Error as error:
            if error.sqlstate not in _UNDEFINED:
                raise
            raise self._other_database() from error

    def _put_with_sqlalchemy(self, connection: SqlalchemyConnection, request: NewStartRequest) -> None:
        try:
            connection.execute(_table(self._ledger_schema()).insert(), request._asdict())
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", getattr(error.orig, "pgcode", None)) not in _UNDEFINED:
                raise
            raise self._other_database() from error

    def _ledger_schema(self) -> str:
        """Return the schema of the ledger, which the caller's connection need not have in its search path."""
        if self._schema is None:
            ((schema,),) = self._database.fetch("current_schema")
            self._schema = str(schema)
        return self._schema

    def _other_database(self) -> NotALedger:
        return NotALedger(
            "the connection leads to a database without this ledger (there is no table "
            f"{self._ledger_schema()}.requests): pass one to {self._database.description}, so that the saga commits "
            "with your own rows"
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
