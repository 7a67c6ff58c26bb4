"""The embedded bus: every service of an app in one process, in turn, on one thread. The log itself is the bus."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from threading import Event, Thread
from time import monotonic

from ...domain.choreography.service import Service
from ..errors import TimedOut, TooContended, Unavailable
from ..ledger.context import HasContext
from .process_log import ProcessLogReader
from .subscription import Subscription

IDLE_SECONDS = 0.5
"""How long it waits for events before it looks again for letters that came due, or for its end."""
BACKOFF_SECONDS_MIN = 0.1
BACKOFF_SECONDS_MAX = 5.0

_log = logging.getLogger("sagaledger.choreography")


class InProcessBus:
    """Lets services react, one batch each in turn. Several may run on one ledger: each event still counts once."""

    def __init__(self, ledger: HasContext, services: Iterable[Service] | None = None) -> None:
        context = ledger.context
        self._backend = context.backend
        chosen = services or context.app.services.values()
        process_logs = ProcessLogReader(context.backend)
        self._followers = [Subscription(context, service, process_logs) for service in chosen]
        self._stopping = Event()
        self._thread: Thread | None = None

    def run_once(self) -> int:
        """One step of every service; gives how many events they moved on, 0 when all are idle. Raises `Unavailable`."""
        return sum(follower.step() for follower in self._followers)

    def drain(self, *, timeout_seconds: float = 3600.0, each: Callable[[], None] = lambda: None) -> None:
        """Let the services react until all have come to the head and no failed reaction is to be tried again.

        `each` is called after each round. What is parked stays parked. Raises `TimedOut`, `Unavailable`.
        """
        deadline = monotonic() + timeout_seconds
        while True:
            moved = self.run_once()
            each()
            if moved:
                continue
            due = self._next_due()
            if due is None:
                return
            if monotonic() > deadline:
                raise TimedOut(f"services were still trying events again after {timeout_seconds:g} seconds")
            self._await(due)

    def start(self) -> None:
        """Follow the log in a thread of its own until `stop`."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = Thread(target=self._run, name="sagaledger-services", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Finish the batch at hand and end the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        backoff_seconds = 0.0
        while not self._stopping.wait(backoff_seconds):
            try:
                if not self.run_once():
                    self._await(self._next_due())
                backoff_seconds = 0.0
            except (Unavailable, TooContended) as error:
                backoff_seconds = _longer(backoff_seconds)
                _log.warning("services do not react for %.1f s: %s", backoff_seconds, error)
            except Exception:  # noqa: BLE001  # supervised: whatever it is, it is told, and the services go on
                backoff_seconds = _longer(backoff_seconds)
                _log.exception("services do not react for %.1f s", backoff_seconds)

    def _next_due(self) -> datetime | None:
        return min((due for f in self._followers if (due := f.next_due()) is not None), default=None)

    def _await(self, due: datetime | None) -> None:
        """Wait for new events, but not beyond the time at which a letter comes due."""
        seconds = IDLE_SECONDS if due is None else (due - datetime.now(UTC)).total_seconds()
        self._backend.wait_beyond(self._backend.head().position, min(max(seconds, 0.0), IDLE_SECONDS))


def _longer(seconds: float) -> float:
    return min(max(seconds * 2, BACKOFF_SECONDS_MIN), BACKOFF_SECONDS_MAX)
