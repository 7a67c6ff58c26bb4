"""A thread that takes step after step: it tries again after what passes, and ends at what a person must mend."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from threading import Event, Thread
from typing import Final

from ...domain.errors import SagaledgerError
from ...domain.user_code import shown

BACKOFF_SECONDS_MIN: Final = 0.1
BACKOFF_SECONDS_MAX: Final = 5.0

Errors = tuple[type[Exception], ...]


class RetryingThread:
    """Takes step after step until it is told to stop.

    `step`: takes one step, and returns for how many seconds to pause before the next.
    `ends_at`: the errors that trying again does not help; every other one is logged, and the step taken again.
    `pauses`: says in the log what it means that no step is taken, such as "services pause".
    """

    def __init__(
        self, name: str, step: Callable[[], float], *, ends_at: Errors, pauses: str, logger: logging.Logger
    ) -> None:
        self._name = name
        self._step = step
        self._ends_at = ends_at
        self._pauses = pauses
        self._logger = logger
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
            except self._ends_at as error:
                self._logger.error("%s until this is mended and the process started again: %s", self._pauses, error)  # noqa: TRY400
                self.ended.set_exception(error)
                return
            except BaseException as error:  # the thread outlives every other failure, and says what it was
                pause_seconds = backoff_seconds = _longer(backoff_seconds)
                self.failing = shown(error)
                trace = None if issubclass(type(error), SagaledgerError) else error
                self._logger.warning("%s for %.1f s: %s", self._pauses, backoff_seconds, shown(error), exc_info=trace)
        self.ended.set_result(None)


def _longer(seconds: float) -> float:
    return min(max(seconds * 2, BACKOFF_SECONDS_MIN), BACKOFF_SECONDS_MAX)
