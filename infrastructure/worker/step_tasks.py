"""Tasks of the event loop for attempts: each has one to itself, unless its step is never seen to wait.

A task costs more than many a step. Steps that only ever return are run one after the other in a task that they share;
one that waits, or leaves something behind in the task, is noticed, and the others go on in another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextvars import copy_context
from typing import Any

from ...domain.facts import Direction
from ...domain.step import Step
from .attempt import attempt
from .message import Attempted, Dispatch
from .step_threads import StepThreads


class StepTasks:
    """Makes attempts, as many at once as there are, and tells what each came to.

    Belongs to the event loop that runs when it is made.
    """

    def __init__(self, threads: StepThreads, tell: Callable[[Attempted], None]) -> None:
        self._threads = threads
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._shared: deque[Dispatch] = deque()
        """What is still to be run in a task that is shared."""
        self._current: Dispatch | None = None
        """What is being run in it."""
        self._waits: set[tuple[Step, Direction]] = set()
        """What was seen to wait, and has had tasks of its own since."""

    def __len__(self) -> int:
        return len(self._tasks) + len(self._shared)

    def run(self, dispatches: Iterable[Dispatch]) -> None:
        """Begin these attempts."""
        for dispatch in dispatches:
            if _what(dispatch) in self._waits:
                self._begin(self._run_alone(dispatch))
            else:
                self._shared.append(dispatch)
        self._share()

    def cancel(self) -> None:
        """Cancel what is being run, and begin nothing more."""
        self._shared.clear()
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

    def _share(self) -> None:
        """Go on with what is to be run in a shared task; look after it as soon as it gives back control."""
        if self._shared:
            self._begin(self._run_shared())
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        """If it did not get through, what it was at waits: leave it alone with that."""
        if self._current is not None:
            self._waits.add(_what(self._current))
            self._current = None
        self._share()

    async def _run_alone(self, dispatch: Dispatch) -> None:
        self._tell(await attempt(dispatch, self._threads))

    async def _run_shared(self) -> None:
        task = asyncio.current_task()
        clean = copy_context()
        while self._shared:
            self._current = self._shared.popleft()
            self._tell(await attempt(self._current, self._threads))
            self._current = None
            if (task is not None and task.cancelling()) or copy_context() != clean:
                return


def _what(dispatch: Dispatch) -> tuple[Step, Direction]:
    return dispatch.step, dispatch.run.direction
