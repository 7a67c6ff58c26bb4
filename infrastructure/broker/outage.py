"""Outages: how long to rest before the next try."""

from __future__ import annotations

import asyncio

BACKOFF_SECONDS_MIN = 0.2
BACKOFF_SECONDS_MAX = 5.0


def longer(seconds: float) -> float:
    """The next rest after one of so many seconds."""
    return min(max(seconds * 2, BACKOFF_SECONDS_MIN), BACKOFF_SECONDS_MAX)


async def rest(stopping: asyncio.Event, seconds: float) -> None:
    """Wait, but not beyond the moment at which one is told to stop."""
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
