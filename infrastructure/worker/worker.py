"""A worker in one asyncio program: it drives thousands of sagas at once, and runs their steps.

The engine has a thread of its own, because database calls block. Steps run on the event loop, and those that are plain
functions on a pool of threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from threading import Thread
from types import TracebackType
from typing import Any, Self, TypeVar

from ...domain.recorded_event import Meta
from ...domain.saga.definition import Definition
from ...domain.saga.saga import Saga
from ...domain.saga.state import SagaState
from ...domain.user_code import contained
from ..errors import Unavailable
from ..ledger.context import HasContext
from ..ledger.saga_start import SagaStart, Started
from ..ledger.state_reader import check_saga_id
from ..runtime.event_loop import wait_for_stop
from .coordination.reconciler import Reconciler
from .coordination.scheduler import Scheduler
from .engine import Engine
from .health import WorkerHealth, WorkerState, health_of
from .mailbox import Mailbox
from .messages import AwaitIdle, AwaitOutcome, Drain, EngineMessage, Reply, StartSaga, TurnResult
from .steps.task_runner import TaskRunner
from .steps.thread_runner import ThreadRunner
from .worker_log import log_end, log_late, log_start
from .worker_settings import check_settings

log = logging.getLogger(__name__)

WAKE_SECONDS_MAX = 0.5
LAG_SECONDS_MAX = 0.4
"""The engine writes no faster than the views that it keeps up follow: it waits while they lag by more than this."""
LAG_WAIT_SECONDS = 0.1
"""The longest such wait before a turn, because turns also renew the lease."""

I = TypeVar("I")  # noqa: E741 -- the saga's input, as the documentation calls it
T = TypeVar("T")


class Worker:
    """Works a ledger's sagas until it is closed; use it as an async context manager.

    - `concurrency`: how many sagas it holds at once;
    - `threads`: how many steps that are plain functions run at once;
    - `lease_seconds`: how long after its last sign of life other workers may take over what it holds;
    - `project`: whether it also keeps the views up;
    - `drain_seconds`: how long it waits for running steps when it is closed.

    Raises `InvalidInput` for a number with which it could not work. Entering it raises `WorkerRunning` when a SQLite
    file already has a worker, and `DefinitionChanged` when a definition differs from the one that sagas of the same
    version were started with.
    """

    def __init__(
        self,
        ledger: HasContext,
        *,
        concurrency: int = 1000,
        threads: int = 32,
        lease_seconds: float = 15.0,
        project: bool = True,
        drain_seconds: float = 10.0,
    ) -> None:
        check_settings(concurrency, threads, lease_seconds, drain_seconds)
        context = self._context = ledger.context
        self._concurrency = concurrency
        self._lease_seconds = lease_seconds
        self._drain_seconds = drain_seconds
        self._threads = ThreadRunner(threads)
        self._projector = context.projector() if project else None
        self._reconciler = Reconciler(context)
        self._state = WorkerState.STARTING
        self._engine: Engine
        self._watched: Engine | None = None
        """The engine, once there is one."""
        self._failure: Exception | None = None
        self._unsent: list[EngineMessage] = []
        """Messages for the engine, which leave together at the end of this turn of the event loop."""
        self._asking: set[asyncio.Future[Any]] = set()
        self._starting = asyncio.Semaphore(concurrency)

    # Lifecycle

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._steps = TaskRunner(self._threads, self._post)
        self._ended: asyncio.Future[None] = self._loop.create_future()
        await asyncio.to_thread(self._context.definition_versions.begin, self._context.app.definitions)
        self._engine = await asyncio.to_thread(
            Engine, self._context, concurrency=self._concurrency, lease_seconds=self._lease_seconds
        )
        log_start(self._engine.worker_id, self._concurrency, self._threads.limit, self._lease_seconds)
        self._scheduler = Scheduler(self._context, self._engine.now)
        self._watched = self._engine
        self._mailbox = Mailbox()
        self._thread = Thread(target=self._drive, name="saga-engine", daemon=True)
        self._thread.start()
        self._reconciler.start()
        if self._projector is not None:
            self._projector.start()
        try:
            await asyncio.to_thread(self._scheduler.start)
        except BaseException:  # it was cancelled
            await self._close()
            raise
        self._state = WorkerState.RUNNING
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()
        if kind is None:
            self._ended.result()
            if self._projector is not None:
                self._projector.ended.result()

    async def run_until(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Raises the error that ended the engine or the projector, if one ends before."""
        await wait_for_stop(stop, self._ended, *([] if self._projector is None else [self._projector.ended]))

    @property
    def concurrency(self) -> int:
        """How many sagas it may hold at once."""
        return self._concurrency

    def health(self) -> WorkerHealth:
        """What it says of itself at this moment; cheap, for any thread, before it is entered and after it has ended."""
        steps = None if self._watched is None else self._steps
        now = self._context.clock.monotonic()
        return health_of(self._state, now, self._watched, steps, self._projector, self._failure)

    async def _close(self) -> None:
        """Begin nothing new, wait a while for running steps, record their outcomes, and release everything."""
        self._state = WorkerState.DRAINING
        await asyncio.to_thread(self._scheduler.stop)
        try:
            async with asyncio.timeout(self._drain_seconds):
                await self._drain()
        except TimeoutError:
            log_late(self._engine.worker_id, len(self._steps), self._drain_seconds)
        except Exception:
            if not self._ended.done():  # otherwise it is the error that ended the engine, which is raised at the end
                raise
        self._steps.cancel()
        self._engine.give_up()
        self._send()  # the engine takes no message after the last one
        self._mailbox.put(None)
        await asyncio.to_thread(self._thread.join)
        self._mailbox.close()
        await asyncio.to_thread(self._reconciler.stop)
        if self._projector is not None:
            await asyncio.to_thread(self._projector.stop)
        await asyncio.wait([self._ended])
        self._state = WorkerState.CLOSED
        log_end(self._engine.worker_id)

    async def _drain(self) -> None:
        if self._ended.done():
            return
        await self._ask(Drain)
        await self._steps.wait()

    # Asking the engine

    async def start(
        self,
        saga: Saga[I] | str,
        value: I,
        *,
        key: str | None = None,
        version: int | None = None,
        actor: str | None = None,
        begins_at: datetime | None = None,
        traceparent: str | None = None,
    ) -> Started:
        """Start a saga and hold it here at once; returns when its start is durable. See `Ledger.start`."""
        definition = self._definition(saga, version)
        saga_start = SagaStart.of(definition, value, key, begins_at=begins_at, actor=actor, traceparent=traceparent)
        if not self._context.definition_versions.is_pinned(saga_start.definition):
            await asyncio.to_thread(self._context.definition_versions.pin_fingerprint, saga_start.definition)
        observer = self._context.observer
        async with self._starting:
            if observer is None:
                meta = Meta(actor=actor, traceparent=saga_start.traceparent)
                return await self._ask(lambda reply: StartSaga(saga_start, meta, reply))
            with observer.starts(definition.name, saga_start.saga_id, traceparent) as context:
                meta = Meta(actor=actor, traceparent=context)
                return await self._ask(lambda reply: StartSaga(saga_start, meta, reply))

    def _definition(self, saga: Saga[Any] | str, version: int | None) -> Definition:
        return self._context.app.definition(saga if isinstance(saga, str) else saga.name, version)

    async def outcome(self, saga_id: str) -> SagaState:
        """Wait until a saga has ended or needs a person, and return its state then.

        Raises `SagaNotFound`, and the error that keeps this worker from reading a saga.
        """
        check_saga_id(saga_id)
        return await self._ask(lambda reply: AwaitOutcome(saga_id, reply))

    async def idle(self) -> None:
        """Wait until this worker holds no saga, and none is due."""
        await self._ask(AwaitIdle)

    async def _ask(self, question: Callable[[Reply[T]], EngineMessage]) -> T:
        """Post a message, and wait for its reply or for the engine's end."""
        if self._ended.done():
            self._ended.result()
            raise Unavailable("the worker is closed: open another one")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._asking.add(answer)
        try:
            self._post(question(Reply(answer)))
            return await answer
        finally:
            self._asking.discard(answer)

    # On the event loop

    def _post(self, message: EngineMessage) -> None:
        """Send the engine a message, together with the others of this turn of the event loop.

        So one batch serves all of them, which took a sixth less CPU time a saga on PostgreSQL.
        """
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(message)

    def _send(self) -> None:
        self._mailbox.put(self._unsent)
        self._unsent = []

    def _deliver(self, turn: TurnResult) -> None:
        for reply in turn.replies:
            reply()
        self._steps.run(turn.dispatch)
        self._steps.end_soon(turn.unwanted)

    def _end(self, error: Exception | None) -> None:
        """The engine has ended: fail every question that it did not answer."""
        self._failure = error
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)
        closed = error or Unavailable("the worker was closed before it could answer")
        for answer in tuple(self._asking):
            Reply(answer).answer(closed)

    # On the engine's thread

    def _drive(self) -> None:
        """Turn the engine until the last message; whatever ends it reaches the event loop through `_end`."""
        error: BaseException | None = None
        extra = {"worker": self._engine.worker_id}
        try:
            try:
                self._turn_until_closed()
            except BaseException as failure:
                error = failure
                log.exception("the worker's engine ended", extra=extra)
            try:
                self._engine.finish(record=error is None)
            except BaseException as failure:
                error = error or failure
                log.exception("the worker's engine did not release everything", extra=extra)
        finally:  # also if an error cannot be logged, because its own code raises
            with suppress(RuntimeError):  # the event loop is closed: nothing waits for the engine
                self._loop.call_soon_threadsafe(self._end, None if error is None else contained(error))

    def _turn_until_closed(self) -> None:
        messages: Sequence[EngineMessage] = ()
        closed = False
        while True:
            if self._projector is not None:
                self._projector.keep_up(LAG_SECONDS_MAX, timeout_seconds=LAG_WAIT_SECONDS)
            turn = self._engine.turn(messages)
            pending = self._engine.pending  # before the wait is computed: an answer after this makes it readable
            wait_seconds = min(self._engine.seconds_to_wait(), WAKE_SECONDS_MAX)
            if any(turn):  # last: the event loop waits for the interpreter while this thread runs
                self._loop.call_soon_threadsafe(self._deliver, turn)
            if closed:
                return
            messages, closed = self._mailbox.take(wait_seconds, pending)
