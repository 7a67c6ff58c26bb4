"""Calls that block, awaited on an event loop: on a few threads, each within its time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import closing, suppress
from typing import Any, TypeVar

from ...domain.errors import InvalidInput
from ..errors import TimedOut, Unavailable
from ..event_store.instants import checked_timeout
from ..runtime.thread_pool import ThreadPool

T = TypeVar("T")

CLOSE_SECONDS = 10.0
"""How long closing waits for calls that are under way."""


class BlockingCalls:
    """Makes calls for one event loop, at most so many at once; further callers wait for their turn."""

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._threads = threads
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def open(self) -> None:
        """Belong to the running event loop, and take calls."""
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._pool = ThreadPool(self._name, self._threads)
        self._free = asyncio.Semaphore(self._threads)
        self._closed = False

    async def close(self) -> None:
        """Take no more calls, and wait a while for those that are under way."""
        self._closed = True
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    for _ in range(self._threads):
                        await self._free.acquire()
        finally:
            self._pool.close()

    async def call(self, call: Callable[[], T], late: str, timeout_seconds: float) -> T:
        """Make a call on a thread. `late` says what did not happen, for the error.

        Raises `TimedOut`, and whatever the call raises. One that a thread has begun is made all the same.
        """
        late = f"{late} yet; it may still happen, or have happened"
        return await self.within(timeout_seconds, self.run(call), late)

    async def within(self, timeout_seconds: float, work: Coroutine[Any, Any, T], late: str) -> T:
        """Await work for so many seconds. Raises `TimedOut`, and what `check_usable` raises."""
        with closing(work):  # if it is not awaited
            self.check_usable()
            seconds = checked_timeout(timeout_seconds, "timeout")
            scope = asyncio.timeout(seconds)
            try:
                async with scope:
                    return await work
            except TimeoutError:
                if not scope.expired():  # what was called raises it
                    raise
                raise TimedOut(f"after {seconds:g} seconds {late}") from None

    async def run(self, call: Callable[[], T]) -> T:
        """Make a call on a thread, once one is free."""
        await self._free.acquire()
        if self._closed:
            self._free.release()
            raise closed_error()
        loop = asyncio.get_running_loop()
        returned: asyncio.Future[None] = loop.create_future()

        def end() -> None:
            self._free.release()  # not before: a call without its caller occupies its thread
            if not returned.done():
                returned.set_result(None)

        def ended(_: Future[T]) -> None:
            with suppress(RuntimeError):  # the event loop is closed: nothing waits
                loop.call_soon_threadsafe(end)

        try:
            work = self._pool.submit(call)
        except BaseException:
            self._free.release()
            raise
        work.add_done_callback(ended)
        try:
            await returned
        except asyncio.CancelledError:
            work.cancel()  # if no thread has begun it
            raise
        return work.result()

    def check_usable(self) -> None:
        """Raise if it is not open, or belongs to another event loop (`InvalidInput`) or process (`Unavailable`)."""
        if self._loop is None:
            raise Unavailable("the client is not open: use `async with AsyncLedger.open(url, app) as ledger`")
        if self._process != os.getpid():
            raise Unavailable("the client was opened before this process forked: open another one here")
        if self._loop is not asyncio.get_running_loop():
            raise InvalidInput("the client belongs to the event loop in which it was opened: open one in this loop")
        if self._closed:
            raise closed_error()


def closed_error() -> Unavailable:
    """Return the error of every call to a closed client."""
    return Unavailable("the client is closed: open another one")
