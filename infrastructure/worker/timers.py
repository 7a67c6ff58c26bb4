"""The instants at which sagas have to be decided on again, earliest first."""

from __future__ import annotations

from datetime import datetime
from heapq import heapify, heappop, heappush

STALE_MAX = 1_000
"""The heap is rebuilt when it has so many entries more than twice the instants that count."""


class Timers:
    """One instant for each saga; setting another replaces it."""

    def __init__(self) -> None:
        self._at: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []

    def set(self, saga_id: str, at: datetime | None) -> None:
        """Set the instant of a saga; None removes it."""
        if at is None:
            self._at.pop(saga_id, None)
        elif self._at.get(saga_id) != at:
            self._at[saga_id] = at
            heappush(self._heap, (at, saga_id))
            if len(self._heap) > 2 * len(self._at) + STALE_MAX:
                self._heap = [(instant, id_) for id_, instant in self._at.items()]
                heapify(self._heap)

    def due(self, now: datetime) -> list[str]:
        """Remove and return the sagas whose instant has come."""
        found: list[str] = []
        while self._heap and self._heap[0][0] <= now:
            at, saga_id = heappop(self._heap)
            if self._at.get(saga_id) == at:
                del self._at[saga_id]
                found.append(saga_id)
        return found

    @property
    def next_at(self) -> datetime | None:
        """The earliest instant, or an earlier one that was replaced; None if there is none."""
        return self._heap[0][0] if self._heap else None

    def clear(self) -> None:
        """Remove every instant."""
        self._at.clear()
        self._heap.clear()
