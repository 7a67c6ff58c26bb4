"""Threads for steps that are plain functions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from threading import Thread
from typing import Any


class ThreadRunner:
    """Runs functions on so many threads at most, and none of them keeps the program from ending.

    A function that outlives its timeout goes on, unheard, and occupies its place until it returns.
    """

    def __init__(self, limit: int) -> None:
        self._places = asyncio.Semaphore(limit)

    async def run(self, function: Callable[[], Any], timeout_seconds: float | None) -> Any:
        """Run it as soon as a place is free; waiting for that takes nothing of its time.

        Raises `TimeoutError`, and what the function raises.
        """
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

        def leave(result: Any, error: BaseException | None) -> None:
            self._places.release()
            if not ended.done():
                ended.set_result((result, error))

        def work() -> None:
            outcome: tuple[Any, BaseException | None]
            try:
                outcome = (context.run(function), None)
            except BaseException as error:  # noqa: BLE001 -- it is raised again where the step is awaited
                outcome = (None, error)
            if not loop.is_closed():
                loop.call_soon_threadsafe(leave, *outcome)

        context = copy_context()
        try:
            Thread(target=work, name="saga-step", daemon=True).start()
        except RuntimeError:  # the system has no more threads
            self._places.release()
            raise
        async with asyncio.timeout(timeout_seconds):
            result, error = await ended
        if error is not None:
            raise error
        return result
