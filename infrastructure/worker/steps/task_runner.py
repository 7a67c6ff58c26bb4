"""Running attempts on the event loop, each in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from ..messages import AttemptEnded, Dispatch
from .attempt import attempt
from .thread_runner import ThreadRunner


class TaskRunner:
    """Makes attempts, as many at once as are dispatched, and reports the outcome of each to `notify`.

    Belongs to the event loop that runs when it is made.
    """

    def __init__(self, threads: ThreadRunner, notify: Callable[[AttemptEnded], None]) -> None:
        self._threads = threads
        self._notify = notify
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancelled = False

    def __len__(self) -> int:
        return len(self._tasks)

    def run(self, dispatches: Iterable[Dispatch]) -> None:
        """Begin these attempts."""
        if self._cancelled:
            return
        for dispatch in dispatches:
            task = self._loop.create_task(self._make(dispatch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

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
        self._notify(await attempt(dispatch, self._threads))
