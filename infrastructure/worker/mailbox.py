"""The engine's mailbox: messages from other threads, and how the engine waits for them."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from selectors import EVENT_READ, DefaultSelector

from .messages import EngineMessage

MESSAGES_MAX = 5_000
"""About how many messages are taken at once."""


class Mailbox:
    """Messages from any thread for one thread, which may wait for a file descriptor at the same time."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Sequence[EngineMessage] | None] = SimpleQueue()
        self._wake_writer, self._wake_reader = socket.socketpair()
        self._wake_writer.setblocking(False)
        self._wake_reader.setblocking(False)
        self.listening = False
        """Whether the taker waits for a file descriptor, and has to be woken through the socket."""

    def put(self, messages: Sequence[EngineMessage] | None) -> None:
        """Add messages; None says that no more will come."""
        self._queue.put(messages)
        if self.listening:
            with suppress(BlockingIOError):  # the socket is full: the taker wakes anyway
                self._wake_writer.send(b"\0")

    def take(self, wait_seconds: float, descriptor: int | None = None) -> tuple[list[EngineMessage], bool]:
        """Wait for a message, and return all there are, and whether they are the last.

        With a file descriptor, the wait also ends when that becomes readable.
        """
        messages: list[EngineMessage] = []
        try:
            taken = self._first(wait_seconds, descriptor)
            while taken is not None:
                messages += taken
                if len(messages) >= MESSAGES_MAX:
                    return messages, False
                taken = self._queue.get_nowait()
        except Empty:
            return messages, False
        return messages, True

    def close(self) -> None:
        """Release the sockets; messages that are put from now on are dropped."""
        self.listening = False
        self._wake_writer.close()
        self._wake_reader.close()

    def _first(self, wait_seconds: float, descriptor: int | None) -> Sequence[EngineMessage] | None:
        if wait_seconds <= 0:
            return self._queue.get_nowait()
        if descriptor is None:
            return self._queue.get(timeout=wait_seconds)
        self.listening = True
        try:
            if self._queue.empty():
                self._wait(wait_seconds, descriptor)
        finally:
            self.listening = False
        return self._queue.get_nowait()

    def _wait(self, wait_seconds: float, descriptor: int) -> None:
        with DefaultSelector() as selector:
            selector.register(self._wake_reader, EVENT_READ)
            selector.register(descriptor, EVENT_READ)
            selector.select(wait_seconds)
        with suppress(BlockingIOError):
            self._wake_reader.recv(4096)
