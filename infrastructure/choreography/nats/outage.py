"""Outages of the broker or the database: waited out with growing pauses, and logged once for the whole process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ...errors import NEEDS_A_PERSON, OutcomeUnknown, Unavailable
from ...ledger.outage_logs import OutageLogs
from .errors import BrokerUnavailable, NothingToRelay

BACKOFF_SECONDS_MIN = 0.2
BACKOFF_SECONDS_MAX = 5.0

_log = logging.getLogger(__name__)


class Outage:
    """Whether something is in the way of one part's work, and how long to pause before the next try."""

    def __init__(self, worker: str, logs: OutageLogs) -> None:
        self._worker = worker
        self._logs = logs
        self._backoff_seconds = 0.0
        self._is_empty = False
        self.worked_once = False

    async def wait(self, stopping: asyncio.Event, error: Exception) -> None:
        """Pause before the next try, and log the outage."""
        self._backoff_seconds = min(max(self._backoff_seconds * 2, BACKOFF_SECONDS_MIN), BACKOFF_SECONDS_MAX)
        if isinstance(error, NothingToRelay):
            self._note_empty(error)
        elif isinstance(error, BrokerUnavailable):
            self._logs.broker.note(self._worker, error)
        else:
            self._logs.database.note(self._worker, error)
        await pause(stopping, self._backoff_seconds)

    def end(self) -> None:
        """Note that the work goes on."""
        if self._is_empty:
            _log.info("%s goes on", self._worker)
        self._logs.broker.end(self._worker)
        self._logs.database.end(self._worker)
        self._backoff_seconds, self._is_empty = 0.0, False
        self.worked_once = True

    def _note_empty(self, error: NothingToRelay) -> None:
        if not self._is_empty:
            self._is_empty = True
            _log.warning("%s waits: %s", self._worker, error)


async def work_through_outages(
    worker: str, work: Callable[[Outage], Awaitable[None]], stopping: asyncio.Event, logs: OutageLogs
) -> None:
    """Do work until told to stop, and begin it again after each outage. `work` ends the outage once it is connected.

    Raises `BrokerUnavailable` if the broker is down before the work was connected once, and `errors.NEEDS_A_PERSON`.
    """
    outage = Outage(worker, logs)
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
