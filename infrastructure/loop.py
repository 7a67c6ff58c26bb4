"""The event loop of a process that is ours to run: uvloop's where there is one, which costs a worker less CPU.

A program that has a loop of its own keeps it: a `Worker` runs on any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run asynchronous work to its end, as `asyncio.run` does."""
    try:
        from uvloop import new_event_loop  # noqa: PLC0415  # most commands need no loop, and do not wait for it
    except ImportError:  # there is none for Windows, nor for PyPy
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)
