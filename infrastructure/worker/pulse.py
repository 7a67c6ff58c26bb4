"""Signs of life of an engine, for those who ask for the health of its worker."""

from __future__ import annotations


class Pulse:
    """When an engine last took a turn, and how it went. Written by its thread, read by any."""

    def __init__(self) -> None:
        self.turned_at: float | None = None
        """When the last turn ended, or the last append was tried, by the engine's monotonic clock."""
        self.succeeded_at: float | None = None
        """When the last turn ended in which the database answered."""
        self.away: Exception | None = None
        """Why the database could not be used in the last turn that tried; None if it could."""

    def succeed(self, at: float) -> None:
        """Note a turn in which the database answered."""
        self.turned_at = self.succeeded_at = at
        self.away = None

    def wait(self, at: float, away: Exception | None = None) -> None:
        """Note a turn, or a try, in which the database was not asked, or was away."""
        self.turned_at = at
        self.away = away or self.away
