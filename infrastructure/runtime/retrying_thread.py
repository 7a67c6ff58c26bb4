"""A thread that takes step after step: it tries again after what passes, and ends at what a person must mend."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from threading import Event, Thread
from time import monotonic
from typing import Final

from ...domain.errors import SagaledgerError
from ...domain.user_code import shown
from .outage_log import REMINDER_SECONDS, OutageLog

BACKOFF_SECONDS_MIN: Final = 0.1
BACKOFF_SECONDS_MAX: Final = 5.0

Errors = tuple[type[Exception], ...]


class RetryingThread:
    """Takes step after step until it is told to stop.

    `step`: takes one step, and returns for how many seconds to pause before the next.
    `ends_at`: the errors that trying again does not help; every other one is logged, and the step taken again.
    `pauses`: says in the log what it means that no step is taken, such as "services pause".
    `outage`: logs that the database is away, once for all who share it.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float],
        *,
        ends_at: Errors,
        pauses: str,
        logger: logging.Logger,
        outage: OutageLog | None = None,
    ) -> None:
        self._name = name
        self._step = step
        self._ends_at = ends_at
        self._pauses = pauses
        self._logger = logger
        self._outage = outage
        self._failed_at: float | None = None
        """Since when steps fail for reasons that were logged, other than an outage; None if they do not."""
        self._told: dict[str, float] = {}
        """What was logged of that, and when."""
        self._stopping = Event()
        self._thread: Thread | None = None
        self.failing: str | None = None
        """Why the last step failed, and is to be taken again; None if it did not."""
        self.ended: Future[None] = Future()
        """Done when the thread has ended; the error that a person must mend, if that ended it."""

    def start(self) -> None:
        """Start the thread, unless it was started and not stopped."""
        if self._thread is None:
            self._stopping.clear()
            self.ended = Future()
            self.ended.set_running_or_notify_cancel()  # who awaits it cannot cancel it
            self._thread = Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Finish the step at hand, and end the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        pause_seconds = backoff_seconds = 0.0
        while not self._stopping.wait(pause_seconds):
            try:
                pause_seconds = self._step()
                backoff_seconds = 0.0
                self.failing = None
                self._note_success()
            except self._ends_at as error:
                self._logger.error("%s until this is mended and the process started again: %s", self._pauses, error)  # noqa: TRY400
                self.ended.set_exception(error)
                return
            except BaseException as error:  # noqa: BLE001 -- the thread outlives every failure, and logs it
                pause_seconds = backoff_seconds = _longer(backoff_seconds)
                self.failing = shown(error)
                if self._outage is not None and issubclass(type(error), self._outage.errors):
                    self._outage.note(self._name, error)
                else:
                    self._note_failure(error)
        self.ended.set_result(None)

    def _note_success(self) -> None:
        if self._outage is not None:
            self._outage.end(self._name)
        if self._failed_at is not None:
            seconds = monotonic() - self._failed_at
            self._logger.info("%s no longer, after %.1f s", self._pauses, seconds, extra={"duration_seconds": seconds})
            self._failed_at = None

    def _note_failure(self, error: BaseException) -> None:
        """Log an error once, and again now and then while it lasts."""
        now = monotonic()
        text = shown(error)
        cause = f"{type(error).__name__}: {text}"
        told_at = self._told.get(cause)
        is_new = told_at is None or now - told_at >= REMINDER_SECONDS
        if is_new:
            self._failed_at = now if self._failed_at is None else self._failed_at
            self._told = {known: at for known, at in self._told.items() if now - at < REMINDER_SECONDS} | {cause: now}
        trace = None if issubclass(type(error), SagaledgerError) else error
        self._logger.log(
            logging.WARNING if is_new else logging.DEBUG,
            "%s, and it is tried again: %s",
            self._pauses,
            text,
            exc_info=trace,
            extra={"error_type": type(error).__name__},
        )


def _longer(seconds: float) -> float:
    return min(max(seconds * 2, BACKOFF_SECONDS_MIN), BACKOFF_SECONDS_MAX)
