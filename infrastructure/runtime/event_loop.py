"""The event loop of a process that is ours to run: uvloop's where there is one, which costs a worker less CPU.

A program that has a loop of its own keeps it: a `Worker` runs on any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any, TypeVar

T = TypeVar("T")


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run asynchronous work to its end, as `asyncio.run` does."""
    # Should it never begin, as after Ctrl-C just now, Python need not complain that nobody awaited it.
    with closing(work), asyncio.Runner(loop_factory=_fastest()) as runner:
        return runner.run(work)


def _fastest() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the loop; None: asyncio's own. Most commands need none, and do not wait for the import."""
    try:
        from uvloop import new_event_loop  # noqa: PLC0415
    except ImportError:  # there is none for Windows, nor for PyPy
        return None
    return new_event_loop
