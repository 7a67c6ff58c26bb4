"""An append call on its way to PostgreSQL: sent at once, answered when somebody waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import psycopg

from ...errors import OutcomeUnknown, Unavailable
from ..append_call import AppendCall, Receipt
from .append import AppendReply, parameters, statement
from .connection import PostgresConnection
from .database import PostgresDatabase, lost
from .pool import Pool
from .wire_format import unpack_bigints

_RECONNECT_SECONDS: Final = 0.2


class PostgresPendingAppend:
    """One call of the function `append_events`, under way on a connection of its own (a `port.PendingAppend`)."""

    def __init__(
        self,
        database: PostgresDatabase,
        connections: Pool,
        call: AppendCall,
        read: Callable[[AppendReply], Receipt],
        learn_seconds: float,
    ) -> None:
        self._database = database
        self._connections = connections
        self._read = read
        self._learn_seconds = learn_seconds
        self._append_id = call.append_id
        self._parameters = parameters(call)
        self._connection: PostgresConnection | None = None
        self._in_doubt = False
        """It may have been sent."""
        self._error: Exception
        self._send()

    @property
    def pending(self) -> int | None:
        """The connection's file descriptor, as long as the server has not answered."""
        return None if self._connection is None else self._connection.pending

    def receipt(self) -> Receipt:
        """Wait for the answer; when it is lost, call the function again, which appends nothing twice, to learn it."""
        deadline: float | None = None
        while True:
            answer = self._receive()
            if answer is not None:
                return self._read(answer)
            if not self._in_doubt:
                raise self._error
            deadline = deadline or time.monotonic() + self._learn_seconds
            if time.monotonic() >= deadline:
                reason = f"{self._database.description}: {self._error}"
                raise OutcomeUnknown(str(self._append_id), reason) from self._error
            time.sleep(_RECONNECT_SECONDS)
            self._send()

    def abandon(self) -> None:
        """Hang up; the server may go on."""
        if self._connection is not None:
            self._connection.close()
            self._let_go()

    def _send(self) -> None:
        try:
            self._connection = self._connections.borrow()
        except Unavailable as error:
            self._error = error
            return
        self._in_doubt = True
        try:
            self._connection.send(statement(len(self._parameters)), self._parameters)
        except psycopg.Error as error:
            self._fail(self._connection, error)
        except BaseException:
            self.abandon()
            raise

    def _receive(self) -> AppendReply | None:
        """The answer; None when it is lost. Raises what the server says instead of one."""
        connection = self._connection
        if connection is None:
            return None
        try:
            answer = unpack_bigints(connection.receive_value() or b"")
        except psycopg.Error as error:
            self._fail(connection, error)
            return None
        except BaseException:
            self.abandon()
            raise
        self._let_go()
        return answer

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connections.give_back(self._connection)
            self._connection = None

    def _fail(self, connection: PostgresConnection, error: psycopg.Error) -> None:
        """Note that the connection is lost. Raises what any other error means."""
        if not lost(error):
            self._let_go()
            if error.diag.constraint_name == "appends_append_id_key":
                raise ValueError(f"other events were first sent under the append id {self._append_id}") from error
            raise self._database.explain(error) from error
        connection.close()
        self._let_go()
        self._error = error
