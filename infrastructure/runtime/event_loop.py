"""The event loop of a process of our own: uvloop's where it is installed, which costs a worker less CPU time.

A program that has its own event loop keeps it: a `Worker` runs on any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any, TypeVar

T = TypeVar("T")


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run asynchronous work to its end, as `asyncio.run` does."""
    # If it never begins, because of Ctrl-C just before, closing it keeps Python from warning that it was not awaited.
    with closing(work), asyncio.Runner(loop_factory=_fastest_loop()) as runner:
        return runner.run(work)


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the loop; None for asyncio's own. Commands that need no loop do not pay for the import."""
    try:
        from uvloop import new_event_loop  # noqa: PLC0415
    except ImportError:  # uvloop exists neither for Windows nor for PyPy
        return None
    return new_event_loop
