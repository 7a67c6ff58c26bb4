"""Tasks of the event loop for attempts: each has one to itself, unless its step only ever returns.

A task costs more than many a step. Steps that were never seen to wait are run one after the other in a task that they
share; one that waits, or leaves something behind there, is noticed: the others go on in another task at once, and steps
like it have tasks of their own from then on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextvars import copy_context
from typing import Any

from ....domain.saga.events import Direction
from ....domain.saga.step import Step
from ..messages import AttemptEnded, Dispatch
from .attempt import attempt
from .thread_runner import ThreadRunner


class TaskRunner:
    """Makes attempts, as many at once as there are, and tells what each came to.

    Belongs to the event loop that runs when it is made.
    """

    def __init__(self, threads: ThreadRunner, tell: Callable[[AttemptEnded], None]) -> None:
        self._threads = threads
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._shared: deque[Dispatch] = deque()
        """What is still to be run in a task that is shared."""
        self._current: Dispatch | None = None
        """What is being run in it."""
        self._apart: set[tuple[Step, Direction]] = set()
        """What was seen to wait, or to leave something behind."""
        self._cancelled = False

    def __len__(self) -> int:
        return len(self._tasks) + len(self._shared)

    def run(self, dispatches: Iterable[Dispatch]) -> None:
        """Begin these attempts."""
        if self._cancelled:
            return
        for dispatch in dispatches:
            if _what(dispatch) in self._apart:
                self._begin(self._run_alone(dispatch))
            else:
                self._shared.append(dispatch)
        if self._shared:
            self._begin(self._run_shared())
            self._loop.call_soon(self._look)

    def cancel(self) -> None:
        """Cancel what is being run, and begin nothing more."""
        self._cancelled = True
        for task in self._tasks:
            task.cancel()

    async def wait(self) -> None:
        """Wait until all that was begun has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _look(self) -> None:
        """Right after a shared task ran: if it did not get through, leave it alone with what it was at, and go on."""
        if self._current is not None:
            self._apart.add(_what(self._current))
            self._current = None
        if self._shared:
            rest, self._shared = self._shared, deque()
            self.run(rest)

    async def _run_alone(self, dispatch: Dispatch) -> None:
        self._tell(await attempt(dispatch, self._threads))

    async def _run_shared(self) -> None:
        task = asyncio.current_task()
        context = copy_context()
        while self._shared:
            dispatch = self._current = self._shared.popleft()
            self._tell(await attempt(dispatch, self._threads))
            waited = self._current is not dispatch
            if waited or _is_to_be_cancelled(task) or copy_context() != context:
                return
            self._current = None


def _what(dispatch: Dispatch) -> tuple[Step, Direction]:
    return dispatch.step, dispatch.run.direction


def _is_to_be_cancelled(task: asyncio.Task[None] | None) -> bool:
    """Whether a task was cancelled and has not noticed; before Python 3.13 it will, even if that was taken back."""
    return task is not None and (task.cancelling() > 0 or getattr(task, "_must_cancel", False))
