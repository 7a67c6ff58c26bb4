"""A bounded number of connections, for any number of threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

from ...errors import Unavailable
from .connection import PostgresConnection

WAIT_SECONDS: Final = 30.0
"""How long to wait for a connection in use: longer than any exchange should take."""


class Pool:
    """Opens connections when they are needed, at most so many, and keeps them. When all are lent, `borrow` waits."""

    def __init__(self, connect: Callable[[], PostgresConnection], *, connections_max: int) -> None:
        self._connect = connect
        self._connections_max = connections_max
        self._permits: SimpleQueue[None] = SimpleQueue()
        for _ in range(connections_max):
            self._permits.put(None)
        self._idle: deque[PostgresConnection] = deque()
        self._closed = False

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
        """Take a connection back, and keep it unless it is closed."""
        if not connection.closed:
            self._idle.append(connection)
        if self._closed:
            self.close()
        self._permits.put(None)

    def close(self) -> None:
        """Close every connection: those that are lent, when they are given back."""
        self._closed = True
        while connection := self._take_idle():
            connection.close()

    def _take_idle(self) -> PostgresConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None
