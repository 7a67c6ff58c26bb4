"""A bounded number of connections, for any number of threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

from ...errors import Unavailable
from .connection import PostgresConnection

WAIT_SECONDS: Final = 30.0
"""How long to wait for a connection that others use: longer than any of them should take."""


class Pool:
    """Opens connections as they are needed, `most` at a time, and keeps them; who finds all of them lent waits."""

    def __init__(self, connect: Callable[[], PostgresConnection], *, most: int) -> None:
        self._connect = connect
        self._most = most
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(most):
            self._places.put(None)
        self._idle: deque[PostgresConnection] = deque()
        self._closed = False

    def borrow(self) -> PostgresConnection:
        """A connection, to be given back in any state. Raises `Unavailable`."""
        try:
            self._places.get(timeout=WAIT_SECONDS)
        except Empty:
            raise Unavailable(
                f"all {self._most} connections of this process were in use for {WAIT_SECONDS:g} seconds: retry"
            ) from None
        try:
            return self._take_idle() or self._connect()
        except BaseException:
            self._places.put(None)
            raise

    def give_back(self, connection: PostgresConnection) -> None:
        """Keep a connection for the next one, unless it is closed."""
        if not connection.closed:
            self._idle.append(connection)
        if self._closed:
            self.close()
        self._places.put(None)

    def close(self) -> None:
        """Close every connection that is not lent; those that are, when they are given back."""
        self._closed = True
        while connection := self._take_idle():
            connection.close()

    def _take_idle(self) -> PostgresConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None
