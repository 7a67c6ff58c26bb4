"""Threads for steps that are plain functions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextvars import copy_context
from threading import Thread
from typing import Any, Final

from .running_attempt import RunningAttempt
from .time_limit import TimeLimit

log = logging.getLogger(__name__)

WARN_SECONDS: Final = 5.0
"""After no thread became free for so long, and every so often from then on, the log says so."""


class NoThreadFree(Exception):
    """Every thread is taken, and none became free in time: the step was not called."""


class ThreadRunner:
    """Runs at most so many functions at once, on daemon threads, which do not keep the program from ending.

    Python cannot end a thread. A function that outlives its timeout keeps its thread until it returns, beside whatever
    the saga does next; its outcome is dropped.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._free = asyncio.Semaphore(limit)
        self._freed_at = 0.0
        """When a thread last became free."""
        self._waiting: set[asyncio.Task[Any] | None] = set()
        """The tasks that wait for a thread: their functions were not called."""
        self._overdue = 0
        """How many threads run functions that have outlived their timeout."""
        self._warned_at = 0.0

    def is_waiting(self, task: asyncio.Task[Any]) -> bool:
        """Whether a task waits for a thread, so that its function was not called."""
        return task in self._waiting

    async def run(
        self, function: Callable[[], Any], timeout_seconds: float | None, attempt: RunningAttempt | None = None
    ) -> Any:
        """Run a function once a thread is free, and return what it returns; its time limit begins with the function.

        Raises `AttemptTimedOut`, `NoThreadFree` if no thread becomes free for as long as the timeout or before the task
        is cancelled, and what the function raises.
        """
        await self._take_thread(timeout_seconds)
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
        is_overdue = False

        def end(result: Any, error: BaseException | None) -> None:
            self._freed_at = time.monotonic()
            self._overdue -= is_overdue
            self._free.release()
            if not ended.done():
                ended.set_result((result, error))

        def work() -> None:
            outcome: tuple[Any, BaseException | None]
            try:
                outcome = (context.run(function), None)
            except BaseException as error:  # noqa: BLE001 -- it is raised again where the step is awaited
                outcome = (None, error)
            if not loop.is_closed():
                loop.call_soon_threadsafe(end, *outcome)

        context = copy_context()
        try:
            Thread(target=work, name="saga-step", daemon=True).start()
        except RuntimeError:  # the system has no more threads
            self._free.release()
            raise
        try:
            async with TimeLimit(timeout_seconds, attempt):
                result, error = await ended
        except BaseException:
            is_overdue = True
            self._overdue += 1
            raise
        if error is not None:
            raise error
        return result

    async def _take_thread(self, timeout_seconds: float | None) -> None:
        """Wait for a thread, as long as now and then one becomes free; say so in the log if none does."""
        if not self._free.locked():
            await self._free.acquire()
            return
        began = time.monotonic()
        task = asyncio.current_task()
        self._waiting.add(task)
        try:
            while True:
                since_freed = time.monotonic() - max(began, self._freed_at)
                left = WARN_SECONDS if timeout_seconds is None else min(WARN_SECONDS, timeout_seconds - since_freed)
                if left <= 0:
                    raise NoThreadFree(f"no thread was free for {timeout_seconds:g} s: {self._occupation}")
                try:
                    async with asyncio.timeout(left):
                        await self._free.acquire()
                except TimeoutError:
                    self._warn()
                else:
                    return
        except asyncio.CancelledError as error:
            raise NoThreadFree(f"it was cancelled before a thread was free: {self._occupation}") from error
        finally:
            self._waiting.discard(task)

    @property
    def _occupation(self) -> str:
        return f"all {self.limit} run steps, {self._overdue} of which have outlived their timeout"

    def _warn(self) -> None:
        now = time.monotonic()
        if now - self._freed_at >= WARN_SECONDS <= now - self._warned_at:
            self._warned_at = now
            log.warning(
                "%d attempts wait for a thread, and none became free for %g s: %s (give steps that call out timeouts "
                "of their own, or the worker more `threads`)",
                len(self._waiting),
                WARN_SECONDS,
                self._occupation,
            )
