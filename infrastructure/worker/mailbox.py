"""What the engine is told by other threads, and how it waits for that."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from selectors import EVENT_READ, DefaultSelector

from .messages import EngineMessage

MESSAGES_MAX = 5_000
"""How many messages, about, are taken at once."""


class Mailbox:
    """Messages from any thread, for one thread that may wait for a file descriptor at the same time."""

    def __init__(self) -> None:
        self._told: SimpleQueue[Sequence[EngineMessage] | None] = SimpleQueue()
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self.listening = False
        """Whether who waits has to be woken by the bell."""

    def put(self, messages: Sequence[EngineMessage] | None) -> None:
        """Tell it something; None is the last that it is told."""
        self._told.put(messages)
        if self.listening:
            with suppress(BlockingIOError):  # it was rung often enough
                self._bell.send(b"\0")

    def take(self, wait_seconds: float, descriptor: int | None = None) -> tuple[list[EngineMessage], bool]:
        """Every message there is, and whether they are the last, after waiting so long for one.

        With a file descriptor, the wait is over when that becomes readable, too.
        """
        messages: list[EngineMessage] = []
        try:
            told = self._first(wait_seconds, descriptor)
            while told is not None:
                messages += told
                if len(messages) >= MESSAGES_MAX:
                    return messages, False
                told = self._told.get_nowait()
        except Empty:
            return messages, False
        return messages, True

    def close(self) -> None:
        """Release what it waited with; it can be told things still, which nobody hears."""
        self.listening = False
        self._bell.close()
        self._ear.close()

    def _first(self, wait_seconds: float, descriptor: int | None) -> Sequence[EngineMessage] | None:
        if wait_seconds <= 0:
            return self._told.get_nowait()
        if descriptor is None:
            return self._told.get(timeout=wait_seconds)
        self.listening = True
        try:
            if self._told.empty():
                self._listen(wait_seconds, descriptor)
        finally:
            self.listening = False
        return self._told.get_nowait()

    def _listen(self, wait_seconds: float, descriptor: int) -> None:
        with DefaultSelector() as selector:
            selector.register(self._ear, EVENT_READ)
            selector.register(descriptor, EVENT_READ)
            selector.select(wait_seconds)
        with suppress(BlockingIOError):
            self._ear.recv(4096)
