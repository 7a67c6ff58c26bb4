"""A bounded number of connections, for any number of threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

from ...errors import Unavailable
from ..forking import leave_to_parent, on_fork
from .connection import PostgresConnection

WAIT_SECONDS: Final = 30.0
"""How long to wait for a connection in use: longer than any exchange should take."""


class Pool:
    """Opens connections when they are needed, at most so many, and keeps them. When all are lent, `borrow` waits."""

    def __init__(self, connect: Callable[[], PostgresConnection], *, connections_max: int) -> None:
        self._connect = connect
        self._connections_max = connections_max
        self._closed = False
        self._begin_empty()
        on_fork(self)

    def borrow(self) -> PostgresConnection:
        """Lend a connection, to be given back in any state. Raises `Unavailable`."""
        try:
            self._permits.get(timeout=WAIT_SECONDS)
        except Empty:
            raise Unavailable(
                f"all {self._connections_max} connections of this process were in use for "
                f"{WAIT_SECONDS:g} seconds: retry"
            ) from None
        try:
            return self._take_idle() or self._connect()
        except BaseException:
            self._permits.put(None)
            raise

    def give_back(self, connection: PostgresConnection) -> None:
        """Take a connection back, and keep it unless it is closed.

        A closed one was lost, most likely with all that were opened before it: the idle ones are closed as well.
        """
        if connection.is_inherited:
            leave_to_parent(connection)
            return
        if connection.closed:
            self.close_idle()
        else:
            self._idle.append(connection)
        if self._closed:
            self.close()
        self._permits.put(None)

    def after_fork(self) -> None:
        """Leave the connections to the parent, and open others when they are needed."""
        leave_to_parent(*self._idle)
        self._begin_empty()

    def close(self) -> None:
        """Close every connection: those that are lent, when they are given back."""
        self._closed = True
        self.close_idle()

    def _begin_empty(self) -> None:
        self._permits: SimpleQueue[None] = SimpleQueue()
        for _ in range(self._connections_max):
            self._permits.put(None)
        self._idle: deque[PostgresConnection] = deque()

    def close_idle(self) -> None:
        """Close the connections that are not lent."""
        while connection := self._take_idle():
            connection.close()

    def _take_idle(self) -> PostgresConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None
