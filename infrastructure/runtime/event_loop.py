"""The event loop of a process of our own: uvloop's where it is installed, which costs a worker less CPU time.

A program that has its own event loop keeps it: a `Worker` runs on any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import closing
from typing import Any, TypeVar

T = TypeVar("T")


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run asynchronous work to its end, as `asyncio.run` does."""
    # If it never begins, because of Ctrl-C just before, closing it keeps Python from warning that it was not awaited.
    with closing(work), asyncio.Runner(loop_factory=_fastest_loop()) as runner:
        return runner.run(work)


async def wait_for_stop(stop: asyncio.Event, *ends: asyncio.Future[None] | Future[None]) -> None:
    """Wait until `stop` is set, or until one of these is done. Raises the error that one of them has."""
    stopping = asyncio.ensure_future(stop.wait())
    ending = [asyncio.wrap_future(end) for end in ends]
    awaited: list[asyncio.Future[Any]] = [stopping, *ending]
    try:
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    for each in ending:
        if each.done():
            each.result()


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the loop; None for asyncio's own. Commands that need no loop do not pay for the import."""
    try:
        from uvloop import new_event_loop  # noqa: PLC0415
    except ImportError:  # uvloop exists neither for Windows nor for PyPy
        return None
    return new_event_loop
