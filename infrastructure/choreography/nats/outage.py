"""Outages of the broker or the database: waited out with growing pauses, and logged once each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ...errors import NEEDS_A_PERSON, OutcomeUnknown, Unavailable
from .errors import BrokerUnavailable

BACKOFF_SECONDS_MIN = 0.2
BACKOFF_SECONDS_MAX = 5.0

_log = logging.getLogger("sagaledger.broker")


class Outage:
    """Whether something is in the way of work, how long to pause before the next try, and what was logged of it."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._backoff_seconds = 0.0
        self._logged = ""
        self.worked_once = False

    async def wait(self, stopping: asyncio.Event, error: Exception) -> None:
        """Pause before the next try; log the error, unless it is the one that was logged last."""
        self._backoff_seconds = min(max(self._backoff_seconds * 2, BACKOFF_SECONDS_MIN), BACKOFF_SECONDS_MAX)
        if str(error) != self._logged:
            self._logged = str(error)
            _log.warning("%s waits, and tries again at least every %g s: %s", self._worker, BACKOFF_SECONDS_MAX, error)
        await pause(stopping, self._backoff_seconds)

    def end(self) -> None:
        """Note that the work goes on."""
        if self._logged:
            _log.warning("%s goes on", self._worker)
        self._backoff_seconds, self._logged = 0.0, ""
        self.worked_once = True


async def work_through_outages(worker: str, work: Callable[[Outage], Awaitable[None]], stopping: asyncio.Event) -> None:
    """Do work until told to stop, and begin it again after each outage. `work` ends the outage once it is connected.

    Raises `BrokerUnavailable` if the broker is down before the work was connected once, and `errors.NEEDS_A_PERSON`.
    """
    outage = Outage(worker)
    while not stopping.is_set():
        try:
            await work(outage)
        except NEEDS_A_PERSON:
            raise
        except (Unavailable, OutcomeUnknown) as error:
            if isinstance(error, BrokerUnavailable) and not outage.worked_once:
                raise
            await outage.wait(stopping, error)


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Wait for a number of seconds, or until told to stop."""
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
