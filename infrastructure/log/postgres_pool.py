"""A bounded number of connections, for any number of threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import BoundedSemaphore, Lock
from typing import Final

from ..errors import Unavailable
from .postgres_connection import BoundaryConnection

WAIT_SECONDS: Final = 30.0
"""How long to wait for a connection that others use: longer than any of them should take."""


class Pool:
    """Opens connections as they are needed, `most` at a time, and keeps them; who finds all of them lent waits."""

    def __init__(self, connect: Callable[[], BoundaryConnection], *, most: int) -> None:
        self._connect = connect
        self._most = most
        self._places = BoundedSemaphore(most)
        self._idle: deque[BoundaryConnection] = deque()
        self._lock = Lock()
        self._closed = False

    def borrow(self) -> BoundaryConnection:
        """A connection, to be given back in any state. Raises `Unavailable`."""
        if not self._places.acquire(timeout=WAIT_SECONDS):
            raise Unavailable(
                f"all {self._most} connections of this process were in use for {WAIT_SECONDS:g} seconds: retry"
            )
        try:
            with self._lock:
                idle = self._idle.pop() if self._idle else None
            return idle or self._connect()
        except BaseException:
            self._places.release()
            raise

    def give_back(self, connection: BoundaryConnection) -> None:
        """Keep a connection for the next one, unless it is closed."""
        with self._lock:
            keep = not (self._closed or connection.closed)
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()
        self._places.release()

    def close(self) -> None:
        """Close every connection that is not lent; those that are, when they are given back."""
        self._closed = True
        while self._idle:
            self._idle.popleft().close()
