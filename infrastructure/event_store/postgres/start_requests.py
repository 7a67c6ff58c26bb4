"""Requests in PostgreSQL: a row that its asker writes in a transaction of their own."""

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
from ..port import FencingToken
from ..start_requests import NewStartRequest, StartRequest, StartRequestOutcome
from .database import SQL, PostgresDatabase

_UNDEFINED: Final = ("42P01", "3F000")
"""The SQLSTATEs of a table, and of a schema, that is not there."""


class PostgresStartRequests:
    """The requests of a ledger (see `requests.Requests` for what each method promises)."""

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
                    f"a {type(connection).__module__}.{type(connection).__qualname__} is no connection that a saga can "
                    "be started in: pass a psycopg Connection, or a SQLAlchemy Connection or Session (of an "
                    "AsyncConnection or AsyncSession by its run_sync)"
                )

    def take(self, epoch: FencingToken, *, definitions: Sequence[tuple[str, int]], limit: int) -> list[StartRequest]:
        wanted = {
            "worker_id": epoch.worker_id,
            "definitions": [name for name, _ in definitions],
            "versions": [version for _, version in definitions],
            "limit": limit,
        }
        with self._database.transaction() as connection:
            taken = connection.execute(SQL["take_requests"], wanted, binary=True).fetchall()
        return sorted(StartRequest(*row) for row in taken)

    def release(self, epoch: FencingToken) -> None:
        with self._database.transaction() as connection:
            connection.execute(SQL["release_requests"], (epoch.worker_id,))

    def settle(self, answers: Sequence[StartRequestOutcome]) -> None:
        columns = [[answer.request_id for answer in answers], [answer.refusal for answer in answers]]
        with self._database.transaction() as connection:
            connection.execute(SQL["settle_requests"], columns)

    def listed(self, *, limit: int) -> list[StartRequest]:
        return [StartRequest(*row) for row in self._database.fetch("requests", (limit,))]

    def _put_with_psycopg(self, connection: psycopg.Connection[Any], request: NewStartRequest) -> None:
        insert = sql.SQL("INSERT INTO {}.requests ({}) VALUES ({})").format(
            sql.Identifier(self._home()),
            sql.SQL(", ").join(map(sql.Identifier, NewStartRequest._fields)),
            sql.SQL(", ").join(sql.Placeholder() * len(NewStartRequest._fields)),
        )
        try:
            connection.execute(insert, request)
        except psycopg.Error as error:
            if error.sqlstate not in _UNDEFINED:
                raise
            raise self._elsewhere() from error

    def _put_with_sqlalchemy(self, connection: SqlalchemyConnection, request: NewStartRequest) -> None:
        try:
            connection.execute(_table(self._home()).insert(), request._asdict())
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", getattr(error.orig, "pgcode", None)) not in _UNDEFINED:
                raise
            raise self._elsewhere() from error

    def _home(self) -> str:
        """The schema of the ledger, which need not be the one that the caller's connection looks in."""
        if self._schema is None:
            ((schema,),) = self._database.fetch("current_schema")
            self._schema = str(schema)
        return self._schema

    def _elsewhere(self) -> NotALedger:
        return NotALedger(
            f"the connection leads to a database without this ledger (there is no table {self._home()}.requests): "
            f"pass one to {self._database.place}, where the saga has to commit with your own rows"
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
