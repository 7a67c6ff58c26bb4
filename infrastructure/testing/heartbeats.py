"""The heartbeats of an attempt that is rehearsed."""

from __future__ import annotations

from msgspec import Raw


class LatestHeartbeat:
    """Keeps the latest progress of one attempt; a rehearsal ends no attempt for being silent, or unwanted."""

    cancelled = False

    def __init__(self) -> None:
        self.latest: Raw | None = None

    def heard(self, progress: Raw | None) -> None:
        """Note a sign of life."""
        self.latest = progress or self.latest
