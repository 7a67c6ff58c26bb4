"""Connections that are kept for the next one who needs one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock

from .postgres_connection import BoundaryConnection


class Pool:
    """Opens connections as they are needed, and keeps so many of them when they are given back."""

    def __init__(self, connect: Callable[[], BoundaryConnection], *, idle_max: int) -> None:
        self._connect = connect
        self._idle_max = idle_max
        self._idle: deque[BoundaryConnection] = deque()
        self._lock = Lock()
        self._closed = False

    def borrow(self) -> BoundaryConnection:
        """A connection, to be given back. Raises `Unavailable`."""
        with self._lock:
            idle = self._idle.pop() if self._idle else None
        return idle or self._connect()

    def give_back(self, connection: BoundaryConnection) -> None:
        """Keep a connection, or close it."""
        with self._lock:
            keep = not (self._closed or connection.closed or len(self._idle) >= self._idle_max)
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()

    def close(self) -> None:
        """Close every connection that is not lent; those that are, when they are given back."""
        self._closed = True
        while self._idle:
            self._idle.popleft().close()
