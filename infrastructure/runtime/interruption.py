"""Run asynchronous work to its end, so that Ctrl-C and SIGTERM end it cleanly."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import closing
from typing import Any, TypeVar

from .event_loop import run_async

T = TypeVar("T")


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end.

    SIGINT and SIGTERM cancel it; once it has drained, `KeyboardInterrupt` is raised.
    """

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
