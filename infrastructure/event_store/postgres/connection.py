"""Connections to PostgreSQL: the only ones that this package opens, so that each exchange crosses the boundary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from ...runtime import failpoints
from ...runtime.failpoints import failpoint
from .wire_format import BINARY, Parameter

T = TypeVar("T")


class PostgresConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose exchanges can be watched: psycopg sends and awaits everything in `wait`, statements as well as
    the beginning and the end of transactions.

    What psycopg has not: a statement can be sent, and its answer received later. Nothing else may be done with the
    connection in between.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._names: dict[str, bytes] = {}
        """Under which name each statement was prepared by `send`."""
        self._transformer = Transformer(self)
        """Reads what they answer; it keeps how, from one answer to the next."""

    def wait(self, gen: PQGen[T], *arguments: Any, **options: Any) -> T:
        if failpoints.listener is None:
            return super().wait(gen, *arguments, **options)
        with failpoint(f"postgres {getattr(gen, '__name__', 'exchange').strip('_')}"):
            return super().wait(gen, *arguments, **options)

    def send(self, statement: str, parameters: Sequence[Parameter]) -> None:
        """Send a statement, prepared when it is sent for the first time. Raises `psycopg.Error`."""
        name = self._names.get(statement) or self._prepare(statement)
        formats, values = zip(*parameters, strict=True)
        self.pgconn.send_query_prepared(name, values, formats, BINARY)
        self.wait(generators.send(self.pgconn))

    @property
    def pending(self) -> int | None:
        """The file descriptor to wait on, as long as receiving would wait for an answer."""
        try:
            self.pgconn.consume_input()
        except psycopg.Error:
            return None  # it is lost, which receiving says
        return self.pgconn.socket if self.pgconn.is_busy() else None

    def receive_value(self) -> bytes | None:
        """The one value that the statement answers, in the server's own format. Raises `psycopg.Error`."""
        return self._result(ExecStatus.TUPLES_OK).get_value(0, 0)

    def receive_rows(self) -> list[tuple[Any, ...]]:
        """The rows that the statement answers. Raises `psycopg.Error`."""
        result = self._result(ExecStatus.TUPLES_OK)
        self._transformer.set_pgresult(result)
        rows = self._transformer.load_rows(0, result.ntuples, tuple)
        self._transformer.set_pgresult(None)  # it need not stay in memory
        return rows

    def _prepare(self, statement: str) -> bytes:
        name = f"sent_{len(self._names)}".encode()
        self.pgconn.send_prepare(name, statement.encode())
        self.wait(generators.send(self.pgconn))
        self._result(ExecStatus.COMMAND_OK)
        self._names[statement] = name
        return name

    def _result(self, expected: ExecStatus) -> PGresult:
        result: PGresult
        (*_, result) = self.wait(generators.fetch_many(self.pgconn))
        if result.status != expected:
            raise psycopg.errors.error_from_result(result, self.info.encoding)
        return result


def connect(conninfo: str, *, autocommit: bool = False) -> PostgresConnection:
    """A connection. Raises what psycopg raises."""
    with failpoint("postgres connect"):
        return PostgresConnection.connect(conninfo, autocommit=autocommit)
