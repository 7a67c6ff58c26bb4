"""Connections to PostgreSQL. This package opens no others, so that a failpoint can be set at every exchange."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from ...errors import Unavailable
from ...runtime import failpoints
from ...runtime.failpoints import failpoint
from .wire_format import BINARY, Parameter

T = TypeVar("T")


class PostgresConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection with a failpoint at each exchange, and with statements whose reply is received later.

    psycopg sends and awaits everything in `wait`: statements, and the begin and the end of transactions. After `send`
    the connection can be used for nothing else until the reply is received.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._statement_names: dict[str, bytes] = {}
        """The name under which `send` has prepared each statement."""
        self._transformer = Transformer(self)
        """Loads rows; it caches their loaders from one reply to the next."""
        self._process = os.getpid()
        self._transaction_settings: str | None = None
        """What every transaction sets for itself, because a pooler may run each in another session."""
        self._unsent: tuple[str, Sequence[Parameter]] | None = None
        """A statement that is sent when its reply is asked for."""

    @property
    def is_inherited(self) -> bool:
        """Whether another process opened it, and forked into this one."""
        return self._process != os.getpid()

    def wait(self, gen: PQGen[T], *arguments: Any, **options: Any) -> T:
        self._refuse_inherited()
        if failpoints.listener is None:
            return super().wait(gen, *arguments, **options)
        with failpoint(f"postgres {getattr(gen, '__name__', 'exchange').strip('_')}"):
            return super().wait(gen, *arguments, **options)

    def send(self, statement: str, parameters: Sequence[Parameter]) -> None:
        """Send a statement, which is prepared the first time. Raises `psycopg.Error`.

        Through a pooler it is sent when its reply is asked for, in a transaction of its own, and not prepared.
        """
        self._refuse_inherited()
        if self._transaction_settings is not None:
            self._unsent = (statement, parameters)
            return
        name = self._statement_names.get(statement) or self._prepare(statement)
        self.pgconn.send_query_prepared(name, *_in_lists(parameters), BINARY)
        self.wait(generators.send(self.pgconn))

    @property
    def pending(self) -> int | None:
        """The file descriptor to wait on, as long as receiving would wait for the reply."""
        if self._unsent is not None:
            return None
        try:
            self.pgconn.consume_input()
        except psycopg.Error:
            return None  # the connection is lost; receiving raises that
        return self.pgconn.socket if self.pgconn.is_busy() else None

    def receive_value(self) -> bytes | None:
        """Return the statement's only value, in the server's binary format. Raises `psycopg.Error`."""
        return self._reply().get_value(0, 0)

    def receive_rows(self) -> list[tuple[Any, ...]]:
        """Return the statement's rows. Raises `psycopg.Error`."""
        result = self._reply()
        self._transformer.set_pgresult(result)
        rows = self._transformer.load_rows(0, result.ntuples, tuple)
        self._transformer.set_pgresult(None)  # releases the result's memory
        return rows

    def share_sessions(self, transaction_settings: str) -> None:
        """Prepare nothing from now on, and set this in every transaction: others use the sessions too."""
        self._transaction_settings = transaction_settings
        self.prepare_threshold = None

    @contextmanager
    def begun(self) -> Iterator[None]:
        """A transaction with the settings that the ledger relies on."""
        with self.transaction():
            self.set_in_transaction()
            yield

    def for_one_statement(self) -> AbstractContextManager[None]:
        """What a single statement needs: nothing in a session of its own, which has the settings."""
        return nullcontext() if self._transaction_settings is None else self.begun()

    def set_in_transaction(self) -> None:
        """Set in the transaction that has just begun what its session does not have; this takes no snapshot."""
        if self._transaction_settings is not None:
            self.execute(self._transaction_settings)

    def _reply(self) -> PGresult:
        if self._unsent is None:
            return self._result(ExecStatus.TUPLES_OK)
        (statement, parameters), self._unsent = self._unsent, None
        values, formats = _in_lists(parameters)
        with self.begun():
            self.pgconn.send_query_params(statement.encode(), values, param_formats=formats, result_format=BINARY)
            self.wait(generators.send(self.pgconn))
            return self._result(ExecStatus.TUPLES_OK)

    def _refuse_inherited(self) -> None:
        if self.is_inherited:
            raise Unavailable(
                "a transaction was open when this process was forked, and belongs to the parent: begin another one"
            )

    def _prepare(self, statement: str) -> bytes:
        name = f"sent_{len(self._statement_names)}".encode()
        self.pgconn.send_prepare(name, statement.encode())
        self.wait(generators.send(self.pgconn))
        self._result(ExecStatus.COMMAND_OK)
        self._statement_names[statement] = name
        return name

    def _result(self, expected: ExecStatus) -> PGresult:
        result: PGresult
        (*_, result) = self.wait(generators.fetch_many(self.pgconn))
        if result.status != expected:
            raise psycopg.errors.error_from_result(result, self.info.encoding)
        return result


def _in_lists(parameters: Sequence[Parameter]) -> tuple[list[bytes | None], list[int]]:
    """Return the values and their formats. psycopg 3.1 takes no tuples."""
    return [value for _, value in parameters], [format_ for format_, _ in parameters]


def connect(conninfo: str, *, autocommit: bool = False) -> PostgresConnection:
    """Return a connection. Raises what psycopg raises."""
    with failpoint("postgres connect"):
        return PostgresConnection.connect(conninfo, autocommit=autocommit)
