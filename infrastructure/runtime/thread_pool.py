"""A few threads for calls that block, made by code that must not."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

T = TypeVar("T")

_Work = tuple[Callable[[], Any], Future[Any]]


class ThreadPool:
    """Runs calls on at most so many daemon threads, which start when they are needed.

    Python cannot end a thread. A call that hangs keeps its thread, and does not keep the program from ending.
    """

    def __init__(self, name: str, threads_max: int) -> None:
        self._name = name
        self._threads_max = threads_max
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._lock = Lock()
        self._threads = 0
        self._unfinished = 0
        """How many calls wait for a thread, or run on one."""
        self._closed = False

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Run a call once a thread is free, in a copy of the present context.

        Until a thread has begun it, the future can be cancelled. Raises `RuntimeError` once it is closed, and if the
        system has no thread for it. In each of these cases the call is never made.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError(f"the threads of {self._name} are closed")
            if self._threads < min(self._unfinished + 1, self._threads_max):
                self._start_thread()
            self._unfinished += 1
            self._queue.put((partial(copy_context().run, call), future))
        return future

    def close(self) -> None:
        """Take no more calls, drop those that did not begin, and let each thread end once its call has."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._queue.put(None)

    def _start_thread(self) -> None:
        """Start a thread; if the system has no more of them, the others make the call."""
        try:
            Thread(target=self._work, name=self._name, daemon=True).start()
        except RuntimeError:
            if not self._threads:
                raise
        else:
            self._threads += 1

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            call, future = work
            if self._closed:
                future.cancel()
            elif future.set_running_or_notify_cancel():
                _run(call, future)
            with self._lock:
                self._unfinished -= 1
            del work, call, future  # they would be kept until the next call


def _run(call: Callable[[], T], future: Future[T]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 -- it is raised where the call is awaited
        future.set_exception(error)
    else:
        future.set_result(result)
