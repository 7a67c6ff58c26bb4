"""When sagas want to be looked at again, earliest first."""

from __future__ import annotations

from datetime import datetime
from heapq import heapify, heappop, heappush

STALE_MAX = 1_000
"""So many entries more than twice those that count are swept out."""


class Timers:
    """One instant for each saga; setting another replaces it."""

    def __init__(self) -> None:
        self._at: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []

    def set(self, saga_id: str, at: datetime | None) -> None:
        """Look at the saga then; None: not because of the time."""
        if at is None:
            self._at.pop(saga_id, None)
        elif self._at.get(saga_id) != at:
            self._at[saga_id] = at
            heappush(self._heap, (at, saga_id))
            if len(self._heap) > 2 * len(self._at) + STALE_MAX:
                self._heap = [(instant, id_) for id_, instant in self._at.items()]
                heapify(self._heap)

    def due(self, now: datetime) -> list[str]:
        """The sagas whose instant has come; they are looked at once."""
        found: list[str] = []
        while self._heap and self._heap[0][0] <= now:
            at, saga_id = heappop(self._heap)
            if self._at.get(saga_id) == at:
                del self._at[saga_id]
                found.append(saga_id)
        return found

    @property
    def next_at(self) -> datetime | None:
        """When to look again, at the latest."""
        return self._heap[0][0] if self._heap else None

    def clear(self) -> None:
        """Forget all of them."""
        self._at.clear()
        self._heap.clear()
