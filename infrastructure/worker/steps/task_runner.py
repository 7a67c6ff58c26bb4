"""Running attempts on the event loop, each in a task of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable
from functools import partial

from ....domain.errors import AttemptCancelled, AttemptTimedOut, HeartbeatTimedOut, SagaledgerError
from ....domain.saga.event_parts import Failure
from ....domain.saga.events import FORWARD, Effect
from ....domain.saga.outcome import AttemptOutcome, Failed, Success, failure_of
from ..messages import AttemptEnded, Dispatch, UnwantedStep
from ..saga_log import attempt_fields
from .attempt import attempt
from .running_attempt import Notify, RunningAttempt
from .thread_runner import ThreadRunner

log = logging.getLogger(__name__)

GRACE_SECONDS = 5.0
"""How long an action without a timeout may still run after its saga was told to compensate, and how long any coroutine
may still run after it was cancelled: code can ignore that."""


class TaskRunner:
    """Makes attempts, as many at once as are dispatched, and reports the progress and the outcome of each to `notify`.

    Belongs to the event loop that runs when it is made.
    """

    def __init__(self, threads: ThreadRunner, notify: Notify) -> None:
        self._threads = threads
        self._notify = notify
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[asyncio.Task[None], RunningAttempt] = {}
        self._ending: set[asyncio.Task[None]] = set()
        """Tasks that will be cancelled, or given up, if they do not end soon."""
        self._given_up: set[asyncio.Task[None]] = set()
        """Tasks that did not end when they were cancelled: their attempts have an outcome, and theirs is dropped."""
        self._watches: dict[asyncio.Task[None], asyncio.TimerHandle] = {}
        """When to give up coroutines that should have ended at their timeout."""
        self._cancelled = False

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def oldest_seconds(self) -> float | None:
        """How long the attempt that began first has been running; None if none runs. Any thread may ask."""
        while True:
            try:
                oldest = next(iter(self._tasks.values()), None)
            except RuntimeError:  # the event loop's thread has just added or removed one
                continue
            return None if oldest is None else max(self._loop.time() - oldest.began, 0.0)

    def run(self, dispatches: Iterable[Dispatch]) -> None:
        """Begin these attempts."""
        if self._cancelled:
            return
        create_task, make, now = self._loop.create_task, self._make, self._loop.time()
        for dispatch in dispatches:
            running = RunningAttempt(dispatch, self._loop, self._notify)
            task = create_task(make(running))
            self._tasks[task] = running
            running.began = now
            task.add_done_callback(self._forget)
            step, direction = dispatch.step, dispatch.attempt.direction
            timeout_seconds = step.timeout_of(direction)
            if timeout_seconds is not None and step.is_async(direction):
                self._watches[task] = self._loop.call_later(
                    timeout_seconds + GRACE_SECONDS, self._give_up, task, AttemptTimedOut
                )
            if running.heartbeat_timeout is not None and step.is_async(direction):
                running.on_silence = partial(
                    self._loop.call_later, GRACE_SECONDS, self._give_up, task, HeartbeatTimedOut
                )

    def end_soon(self, unwanted: Collection[UnwantedStep]) -> None:
        """Tell these attempts that they are not wanted, and let them run for a while longer.

        Those that have not ended by then, and can be ended, are cancelled.
        """
        if not unwanted:
            return
        places = {(step.saga_id, step.step): step for step in unwanted}
        for task, running in self._tasks.items():
            dispatch = running.dispatch
            step = places.get((dispatch.saga.saga_id, dispatch.attempt.step))
            if step is None or dispatch.attempt.direction is not FORWARD:
                continue
            if not step.in_doubt:
                running.cancel(f"saga {step.saga_id} compensates, so its step {step.step} is no longer wanted")
            if task not in self._ending and _is_endless(dispatch):
                self._ending.add(task)
                self._loop.call_later(GRACE_SECONDS, self._cancel_if_possible, task)

    def cancel(self) -> None:
        """Cancel the attempts that are running, and begin no more."""
        self._cancelled = True
        for running in self._tasks.values():
            running.cancel("the worker stops")
        for task in (*self._tasks, *self._given_up):
            task.cancel()

    async def wait(self) -> None:
        """Wait until every attempt that was begun has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _make(self, running: RunningAttempt) -> None:
        dispatch = running.dispatch
        try:
            outcome = await attempt(running, self._threads)
        except GeneratorExit:  # this coroutine is closed
            raise
        except BaseException as error:  # an error of this program: the attempt has an outcome all the same
            log.exception(
                "an attempt at step %s of saga %s broke off",
                dispatch.attempt.step,
                dispatch.saga.saga_id,
                extra=_fields(dispatch),
            )
            why = "the attempt broke off: the log of the worker says why"
            outcome = Failed(Failure(type(error).__name__, why), Effect.UNKNOWN, retryable=True)
        if not self._given_up or asyncio.current_task() not in self._given_up:
            self._end(running, outcome)

    def _cancel_if_possible(self, task: asyncio.Task[None]) -> None:
        """Cancel an attempt that runs as a coroutine, or that waits for a thread; a function in a thread runs on."""
        running = self._tasks.get(task)
        if running is None:
            return
        dispatch = running.dispatch
        if dispatch.step.is_async(dispatch.attempt.direction):
            task.cancel()
            self._loop.call_later(GRACE_SECONDS, self._give_up, task, AttemptCancelled)
        elif self._threads.is_waiting(task):
            task.cancel()

    def _give_up(self, task: asyncio.Task[None], kind: type[SagaledgerError]) -> None:
        """Wait no longer for a task that ignores that it was cancelled, for a reason of this kind; it may still act."""
        running = self._tasks.pop(task, None)
        if running is None:
            return
        dispatch = running.dispatch
        self._given_up.add(task)
        why = "it ignores that it was cancelled, and runs on"
        log.warning(
            "step %s of saga %s: %s", dispatch.attempt.step, dispatch.saga.saga_id, why, extra=_fields(dispatch)
        )
        self._end(running, failure_of(kind(why), policies=dispatch.step.policies_of(dispatch.attempt.direction)))

    def _end(self, running: RunningAttempt, outcome: AttemptOutcome) -> None:
        """Report the outcome of an attempt; no progress of it is recorded from now on."""
        running.end(succeeded=isinstance(outcome, Success))
        dispatch = running.dispatch
        self._notify(AttemptEnded(dispatch.saga, dispatch.attempt, outcome))

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if task in self._watches:
            self._watches.pop(task).cancel()
        if self._ending or self._given_up:
            self._ending.discard(task)
            self._given_up.discard(task)


def _fields(dispatch: Dispatch) -> dict[str, object]:
    return attempt_fields(dispatch.saga, dispatch.attempt, dispatch.worker)


def _is_endless(dispatch: Dispatch) -> bool:
    """Whether it is an action without a timeout: it may have to be ended, if it can be."""
    return dispatch.attempt.direction is FORWARD and dispatch.step.timeout_of(FORWARD) is None
