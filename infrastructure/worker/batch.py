"""How much one append call of the worker may carry."""

from __future__ import annotations

BATCH_SAGAS_MAX = 500
BATCH_SAGAS_WHOLE = 128
"""More than that go in halves of all that are held: one is drafted while the log writes the other."""
BATCH_EVENTS_MAX = 4_000
BATCH_BYTES_MAX = 8 * 1024 * 1024


class Budget:
    """How much one append call may still carry."""

    def __init__(self) -> None:
        self._events = BATCH_EVENTS_MAX
        self._bytes = BATCH_BYTES_MAX
        self.spent = False
        """Whether it is used up; the last one in may exceed it."""

    def spend(self, events: int, size_bytes: int) -> None:
        """Take this much of it."""
        self._events -= events
        self._bytes -= size_bytes
        self.spent = self._events <= 0 or self._bytes <= 0
