"""Threads for steps that are plain functions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from threading import Thread
from typing import Any


class ThreadRunner:
    """Runs at most so many functions at once, on daemon threads, which do not keep the program from ending.

    A function that outlives its timeout keeps its thread until it returns; its outcome is dropped.
    """

    def __init__(self, limit: int) -> None:
        self._free = asyncio.Semaphore(limit)

    async def run(self, function: Callable[[], Any], timeout_seconds: float | None) -> Any:
        """Run a function once a thread is free, and return what it returns; the timeout begins with the function.

        Raises `TimeoutError`, and what the function raises.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

        def end(result: Any, error: BaseException | None) -> None:
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
        async with asyncio.timeout(timeout_seconds):
            result, error = await ended
        if error is not None:
            raise error
        return result
