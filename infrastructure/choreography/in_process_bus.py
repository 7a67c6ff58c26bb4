"""The in-process bus: the services of an app take turns on one thread, and the log itself carries their events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from datetime import datetime

from ...domain.choreography.service import Service
from ..errors import NEEDS_A_PERSON, TimedOut
from ..ledger.context import HasContext
from ..runtime.retrying_thread import RetryingThread
from .process_log import ProcessLogReader
from .subscription import Subscription

IDLE_SECONDS_MAX = 0.5
"""How long the bus waits for events before it looks for dead letters that came due, and whether it is to stop."""

_log = logging.getLogger(__name__)


class InProcessBus:
    """Lets services react in turn, one batch each. Several may run on one ledger: each event still counts once."""

    def __init__(self, ledger: HasContext, services: Iterable[Service] | None = None) -> None:
        context = ledger.context
        self._backend = context.backend
        self._clock = context.clock
        process_logs = ProcessLogReader(context.backend)
        chosen = services or context.app.services.values()
        self._subscriptions = [Subscription(context, service, process_logs) for service in chosen]
        self._thread = RetryingThread(
            "sagaledger-services",
            self._step,
            ends_at=NEEDS_A_PERSON,
            pauses="services pause",
            logger=_log,
            outage=context.outages.database,
        )

    def run_once(self) -> int:
        """Let each service take one step; returns how many events they moved on, 0 when all are idle.

        Raises `Unavailable`, `OutcomeUnknown`, and `TooContended`.
        """
        return sum(subscription.step() for subscription in self._subscriptions)

    def drain(self, *, timeout_seconds: float = 3600.0, each: Callable[[], None] = lambda: None) -> None:
        """Let the services react until all are at the head of the log and no dead letter is to be tried again.

        Parked events stay parked. `each` is called after every round. Raises `TimedOut`, and what `run_once` raises.
        """
        deadline = self._clock.monotonic() + timeout_seconds
        while True:
            moved = self.run_once()
            each()
            if moved:
                continue
            due = self._next_due()
            if due is None:
                return
            if self._clock.monotonic() > deadline:
                raise TimedOut(f"services were still trying events again after {timeout_seconds:g} seconds")
            self._wait(due)

    def start(self) -> None:
        """Follow the log in a thread of its own until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch at hand and end the thread."""
        self._thread.stop()

    @property
    def ended(self) -> Future[None]:
        """Done when the thread has ended: with the error that ended it, if a person must mend that."""
        return self._thread.ended

    def _step(self) -> float:
        """Let each service take one step, or wait for events. Returns for how many seconds to pause."""
        if not self.run_once():
            self._wait(self._next_due())
        return 0.0

    def _next_due(self) -> datetime | None:
        times = (subscription.next_due() for subscription in self._subscriptions)
        return min((time for time in times if time is not None), default=None)

    def _wait(self, due: datetime | None) -> None:
        """Wait for new events, but not beyond the time at which a dead letter comes due."""
        seconds = IDLE_SECONDS_MAX if due is None else (due - self._clock.now()).total_seconds()
        self._backend.wait_beyond(self._backend.head().position, min(max(seconds, 0.0), IDLE_SECONDS_MAX))
