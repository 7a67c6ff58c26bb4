"""Run asynchronous work so that Ctrl-C and SIGTERM end it cleanly."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import closing
from typing import Any, TypeVar

from ..runtime.event_loop import run_async

T = TypeVar("T")


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end. SIGINT and SIGTERM cancel it, it drains, and then this raises `KeyboardInterrupt`."""

    async def cancellable() -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 -- a coroutine that runs has a task
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        with closing(work):
            return run_async(cancellable())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


class StopRequest:
    """The first SIGINT or SIGTERM asks to stop; a second SIGINT does not ask."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.signal: signal.Signals | None = None
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._stop, number)

    def _stop(self, number: signal.Signals) -> None:
        self.signal = number
        self.event.set()
        for each in (signal.SIGINT, signal.SIGTERM):
            self._loop.remove_signal_handler(each)
