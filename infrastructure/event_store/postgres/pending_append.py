"""An append call that was sent to PostgreSQL, and whose reply is received when its sender asks for it.

The worker builds its next batch while the server writes this one (`docs/decisions/0009` has what that gains). psycopg
has no call for it: in pipeline mode, too, nothing says whether a reply has come without waiting for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import psycopg

from ...errors import OutcomeUnknown, Unavailable
from ..append_call import AppendCall, AppendIdTaken, Receipt
from ..stream_id import not_unicode
from .append import AppendReply, decode_reply, encode
from .connection import PostgresConnection
from .database import PostgresDatabase
from .pool import Pool
from .server_errors import lost

_RECONNECT_SECONDS: Final = 0.2


class PostgresPendingAppend:
    """One call of the function `append_events`, on a connection of its own (a `PendingAppend`)."""

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
        try:
            self._encoded = encode(call)
        except UnicodeEncodeError as error:
            raise not_unicode(error, database.description) from error
        self._connection: PostgresConnection | None = None
        self._may_have_been_sent = False
        self._error: Exception
        self._send()

    @property
    def pending(self) -> int | None:
        """The connection's file descriptor, as long as the server has not replied."""
        return None if self._connection is None else self._connection.pending

    def receipt(self) -> Receipt:
        """Wait for the reply. If it is lost, call the function again, which appends nothing twice and returns it."""
        deadline: float | None = None
        while True:
            reply = self._receive()
            if reply is not None:
                return self._read(reply)
            if not self._may_have_been_sent:
                raise self._error
            deadline = deadline or time.monotonic() + self._learn_seconds
            if time.monotonic() >= deadline:
                reason = f"{self._database.description}: {self._error}"
                raise OutcomeUnknown(str(self._append_id), reason) from self._error
            time.sleep(_RECONNECT_SECONDS)
            self._send()

    def abandon(self) -> None:
        """Close the connection. The server may or may not write the call."""
        if self._connection is not None:
            self._connection.close()
            self._give_back()

    def _send(self) -> None:
        try:
            self._connection = self._connections.borrow()
        except Unavailable as error:
            self._error = error
            return
        self._may_have_been_sent = True
        try:
            self._connection.send(*self._encoded)
        except psycopg.Error as error:
            self._fail(self._connection, error)
        except BaseException:
            self.abandon()
            raise

    def _receive(self) -> AppendReply | None:
        """Return the reply; None if it is lost. Raises what the server reports instead of one."""
        connection = self._connection
        if connection is None:
            return None
        try:
            reply = decode_reply(connection.receive_value())
        except psycopg.Error as error:
            self._fail(connection, error)
            return None
        except BaseException:
            self.abandon()
            raise
        self._give_back()
        return reply

    def _give_back(self) -> None:
        if self._connection is not None:
            self._connections.give_back(self._connection)
            self._connection = None

    def _fail(self, connection: PostgresConnection, error: psycopg.Error) -> None:
        """Note that the connection is lost. Raises what any other error means."""
        if not lost(error):
            self._give_back()
            if error.diag.constraint_name == "appends_append_id_key":
                raise AppendIdTaken(f"other events were first sent under the append id {self._append_id}") from error
            raise self._database.explain(error) from error
        connection.close()
        self._give_back()
        self._error = error
