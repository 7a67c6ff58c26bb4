"""Outages: how long to rest before the next try, and how often to speak of it."""

from __future__ import annotations

import asyncio
import logging

BACKOFF_SECONDS_MIN = 0.2
BACKOFF_SECONDS_MAX = 5.0

_log = logging.getLogger("sagaledger.broker")


class Outage:
    """What keeps somebody from working: told once however often it is met, with growing rests in between."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._backoff_seconds = 0.0
        self._told = ""

    async def outlast(self, stopping: asyncio.Event, error: Exception) -> None:
        """Rest before the next try."""
        self._backoff_seconds = min(max(self._backoff_seconds * 2, BACKOFF_SECONDS_MIN), BACKOFF_SECONDS_MAX)
        if str(error) != self._told:
            self._told = str(error)
            _log.warning("%s waits, and tries again at least every %g s: %s", self._who, BACKOFF_SECONDS_MAX, error)
        await pause(stopping, self._backoff_seconds)

    def over(self) -> None:
        """It works again."""
        if self._told:
            _log.warning("%s goes on", self._who)
        self._backoff_seconds, self._told = 0.0, ""


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Wait, but not beyond the moment at which one is told to stop."""
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
