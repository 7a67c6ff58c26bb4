"""Running attempts on the event loop, each in a task of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable

from ....domain.saga.events import FORWARD, Effect, Failure
from ....domain.saga.outcome import Failed
from ..messages import AttemptEnded, Dispatch, RunningStep
from .attempt import attempt
from .thread_runner import ThreadRunner

log = logging.getLogger(__name__)

GRACE_SECONDS = 5.0
"""How long an action without a timeout may still run after its saga was told to compensate."""


class TaskRunner:
    """Makes attempts, as many at once as are dispatched, and reports the outcome of each to `notify`.

    Belongs to the event loop that runs when it is made.
    """

    def __init__(self, threads: ThreadRunner, notify: Callable[[AttemptEnded], None]) -> None:
        self._threads = threads
        self._notify = notify
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[asyncio.Task[None], Dispatch | None] = {}
        """What runs in each task; None if it will be cancelled soon."""
        self._cancelled = False

    def __len__(self) -> int:
        return len(self._tasks)

    def run(self, dispatches: Iterable[Dispatch]) -> None:
        """Begin these attempts."""
        if self._cancelled:
            return
        create_task, make, forget = self._loop.create_task, self._make, self._tasks.pop
        for dispatch in dispatches:
            task = create_task(make(dispatch))
            self._tasks[task] = dispatch
            task.add_done_callback(forget)

    def end_soon(self, unwanted: Collection[RunningStep]) -> None:
        """Let these attempts run for a while longer, and cancel those that have not ended by then."""
        if not unwanted:
            return
        for task, dispatch in self._tasks.items():
            if dispatch is not None and _is_endless(dispatch) and dispatch.running in unwanted:
                self._tasks[task] = None
                self._loop.call_later(GRACE_SECONDS, task.cancel)

    def cancel(self) -> None:
        """Cancel the attempts that are running, and begin no more."""
        self._cancelled = True
        for task in self._tasks:
            task.cancel()

    async def wait(self) -> None:
        """Wait until every attempt that was begun has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _make(self, dispatch: Dispatch) -> None:
        try:
            ended = await attempt(dispatch, self._threads)
        except Exception as error:  # an error of this program: the attempt has an outcome all the same
            log.exception("an attempt at step %s of saga %s broke off", dispatch.step.name, dispatch.saga.saga_id)
            failure = Failure(type(error).__name__, "the attempt broke off: the log of the worker says why")
            ended = AttemptEnded(dispatch.saga, dispatch.attempt, Failed(failure, Effect.UNKNOWN, retryable=True))
        self._notify(ended)


def _is_endless(dispatch: Dispatch) -> bool:
    """Whether it is an action without a timeout that runs as a coroutine: only such can be ended, and need to be."""
    step, direction = dispatch.step, dispatch.attempt.direction
    return direction is FORWARD and step.is_async(direction) and step.timeout_of(direction) is None
