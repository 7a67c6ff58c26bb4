"""A worker on a thread, for tests that are plain functions."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from types import TracebackType
from typing import Any, Self, TypeVar

from ...domain.saga.state import SagaState
from ..errors import TimedOut, Unavailable
from ..ledger.context import HasContext
from ..worker.health import WorkerHealth
from ..worker.worker import Worker

T = TypeVar("T")

TIMEOUT_SECONDS = 30.0


class WorkerThread:
    """A real worker, with an event loop of its own. Use it as a context manager; leaving raises what ended it."""

    def __init__(self, ledger: HasContext, **settings: Any) -> None:
        self._ledger = ledger
        self._settings = settings
        self._opened: Future[Worker] = Future()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="saga-worker", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._worker = self._opened.result(TIMEOUT_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(RuntimeError):  # the event loop has ended with the worker
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._error is not None and kind is None:
            raise self._error

    def outcome(self, saga_id: str, *, timeout: float = TIMEOUT_SECONDS) -> SagaState:
        """Block until a saga has ended or needs a person; returns its state then.

        Raises `TimedOut`, and what ended the worker.
        """
        return self._ask(self._worker.outcome(saga_id), f"saga {saga_id!r} did not end", timeout)

    def idle(self, *, timeout: float = TIMEOUT_SECONDS) -> None:
        """Block until no saga is held, and none is due. Raises `TimedOut`, and what ended the worker."""
        self._ask(self._worker.idle(), "the worker was not idle", timeout)

    def health(self) -> WorkerHealth:
        """What the worker says of itself."""
        return self._worker.health()

    def _ask(self, question: Coroutine[Any, Any, T], late: str, timeout: float) -> T:
        try:
            answer = asyncio.run_coroutine_threadsafe(question, self._loop)
        except RuntimeError:  # the event loop has ended with the worker
            question.close()
            self._thread.join()
            raise self._error or Unavailable("the worker is closed: open another one") from None
        try:
            return answer.result(timeout)
        except TimeoutError:
            answer.cancel()
            raise TimedOut(f"{late} within {timeout:g} seconds") from None

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except BaseException as error:  # noqa: BLE001 -- it is raised where the test waits
            self._error = error
            if not self._opened.done():
                self._opened.set_exception(error)

    async def _work(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with Worker(self._ledger, **self._settings) as worker:
            self._opened.set_result(worker)
            await worker.run_until(self._stop)
