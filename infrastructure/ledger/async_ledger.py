"""A ledger for asyncio programs that drive no sagas themselves: every call is awaited, and none blocks the event loop.

The databases' drivers block, so a call runs on one of a few threads, by the `Ledger` that is behind it. Those who wait
for a saga or a view take no thread: one poll serves all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar

from ...domain.errors import InvalidInput
from ...domain.recorded_event import RecordedEvent
from ...domain.saga.events import Action
from ...domain.saga.saga import Saga
from ...domain.saga.state import SagaState
from ...projections.projection import Row
from ...projections.saga.saga_attributes import VIEW as ATTRIBUTES
from ..errors import TimedOut
from ..event_store.instants import checked_timeout
from ..event_store.start_requests import NewStartRequest
from ..read_models.condition import Where
from ..read_models.queries import QueryResult
from ..runtime.observer import Observer
from ..runtime.thread_pool import ThreadPool
from .app import App
from .blocking_calls import BlockingCalls, closed_error
from .context import LedgerContext
from .ledger import Ledger
from .moment import AnyMoment
from .past_views import check_one_time
from .pending_waits import PendingWaits
from .saga_start import SagaStart, Started, definition_of, new_request, shared_requests

I = TypeVar("I")  # noqa: E741 -- the saga's input, as the documentation calls it
T = TypeVar("T")

TIMEOUT_SECONDS = 30.0


class AsyncLedger:
    """An open ledger for one event loop; `async with AsyncLedger.open(url, app) as ledger`.

    `AsyncLedger(ledger)` shares a `Ledger` that is open, and leaves it open. `threads`: how many calls run at once.

    Each call takes `timeout`, in seconds, and raises `TimedOut` when that is over. A call that timed out or was
    cancelled before its turn is not made; one that is under way goes on without its caller. What it writes stays
    written, all or nothing, and a repeat is safe: the same key and input are the same saga.
    """

    def __init__(self, ledger: Ledger, *, threads: int = 4) -> None:
        _check_threads(threads)
        self._ledger = ledger
        self._calls = BlockingCalls("saga-ledger", threads)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        app: App | None = None,
        *,
        create: bool = False,
        must_exist: bool = False,
        threads: int = 4,
        timeout: float = TIMEOUT_SECONDS,
        observer: Observer | None = None,
    ) -> AsyncIterator[Self]:
        """Open the ledger at a URL, and close it at the end. See `Ledger.open`. Raises `TimedOut`, too."""
        _check_threads(threads)
        pool = ThreadPool("saga-ledger-open", 1)
        opened_by = partial(Ledger.open, url, app, create=create, must_exist=must_exist, observer=observer)
        opening = pool.submit(opened_by)
        opening.add_done_callback(lambda _: pool.close())
        try:
            async with asyncio.timeout(checked_timeout(timeout, "timeout")):
                ledger = await asyncio.wrap_future(opening)
        except BaseException as error:
            opening.add_done_callback(_close_unwanted)
            if isinstance(error, TimeoutError):
                raise TimedOut(f"the ledger was not open within {timeout:g} seconds") from None
            raise
        try:
            async with cls(ledger, threads=threads) as opened:
                yield opened
        finally:
            await asyncio.to_thread(ledger.close)

    @property
    def context(self) -> LedgerContext:
        """What everything that works on this ledger shares, so that `Worker(ledger)` takes this one, too."""
        return self._ledger.context

    async def __aenter__(self) -> Self:
        self._calls.open()
        self._waits_pool = ThreadPool("saga-ledger-waits", 1)
        self._waits = PendingWaits(self.context, lambda call: asyncio.wrap_future(self._waits_pool.submit(call)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no more calls, fail those that wait, and wait a while for those that are under way."""
        try:
            await self._waits.close(closed_error())
            await self._calls.close()
        finally:
            self._waits_pool.close()

    # Starting

    async def start(
        self, saga: Saga[I] | str, value: I, *, key: str | None = None, version: int | None = None,
        actor: str | None = None, begins_at: datetime | None = None, traceparent: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> Started:  # fmt: skip
        """Start a saga; returns when its start is durable. See `Ledger.start`.

        With a key, of its own or of its definition, it can be started again after `TimedOut`: it is one saga.
        """
        asked: dict[str, Any] = {"version": version, "actor": actor, "begins_at": begins_at, "traceparent": traceparent}
        start = partial(self._ledger.start, saga, value, key=key, **asked)
        return await self._calls.call(start, f"{_name(saga)} was not started", timeout)

    async def start_in(
        self,
        connection: Any,
        saga: Saga[I] | str,
        value: I,
        *,
        key: str | None = None,
        version: int | None = None,
        actor: str | None = None,
        begins_at: datetime | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> str:
        """Ask for a saga inside a transaction of your own, with which it is started or never was; returns its id.

        `connection` is a psycopg AsyncConnection, or a SQLAlchemy AsyncConnection or AsyncSession, to the ledger's
        database. See `Ledger.start_in`. After `TimedOut` or a cancellation roll your transaction back.
        """
        requests = shared_requests(self.context)

        def prepare() -> NewStartRequest:
            definition = definition_of(self.context, saga, version)
            saga_start = SagaStart.of(definition, value, key, begins_at=begins_at, actor=actor)
            return new_request(self.context, saga_start)

        async def put() -> str:
            request = await self._calls.run(prepare)
            await requests.put_async(connection, request)
            return request.saga_id

        return await self._calls.within(
            timeout, put(), f"{_name(saga)} was not asked for yet: roll your transaction back"
        )

    # Auditing

    async def history(
        self, saga_id: str, *, participants: bool = True, at: AnyMoment | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> list[RecordedEvent]:
        """Everything that was recorded of a saga, in order. See `Ledger.history`."""
        read = partial(self._ledger.history, saga_id, participants=participants, at=at)
        return await self._calls.call(read, f"the history of saga {saga_id!r} was not read", timeout)

    async def state(self, saga_id: str, at: AnyMoment | None = None, *, timeout: float = TIMEOUT_SECONDS) -> SagaState:
        """A saga's state, rebuilt from its events: now, or at a moment. See `Ledger.state`."""
        return await self._calls.call(
            partial(self._ledger.state, saga_id, at), f"the state of saga {saga_id!r} was not read", timeout
        )

    async def wait(self, saga_id: str, *, timeout: float) -> SagaState:
        """Wait until a saga has ended or needs a person; returns its state then. A database that is away is waited for.

        Raises `SagaNotFound`, and `TimedOut` with the saga's status at that moment.
        """
        self._calls.check_usable()
        return await self._waits.saga(saga_id, checked_timeout(timeout, "timeout"))

    # Operating

    async def cancel(self, saga_id: str, *, actor: str, reason: str, timeout: float = TIMEOUT_SECONDS) -> int:
        """Ask a saga to turn back and undo what it did; returns the position of that event. See `Ledger.cancel`."""
        cancel = partial(self._ledger.cancel, saga_id, actor=actor, reason=reason)
        return await self._calls.call(cancel, f"saga {saga_id!r} was not cancelled", timeout)

    async def intervene(
        self,
        saga_id: str,
        action: Action | str,
        *,
        actor: str,
        reason: str,
        step: str | None = None,
        result: Any = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> int:
        """Decide how a saga that needs a person goes on; returns the event's position. See `Ledger.intervene`."""
        intervene = partial(
            self._ledger.intervene, saga_id, action, actor=actor, reason=reason, step=step, result=result
        )
        return await self._calls.call(intervene, f"the intervention in saga {saga_id!r} was not recorded", timeout)

    async def signal(
        self,
        saga_id: str,
        name: str,
        payload: Any = None,
        *,
        actor: str,
        reason: str | None = None,
        refused: bool = False,
        key: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> int:
        """Send a signal to a saga; returns the position of that event. See `Ledger.signal`."""
        send = partial(
            self._ledger.signal, saga_id, name, payload, actor=actor, reason=reason, refused=refused, key=key
        )
        return await self._calls.call(send, f"signal {name!r} to saga {saga_id!r} was not recorded", timeout)

    async def approve(
        self,
        saga_id: str,
        step: str,
        payload: Any = None,
        *,
        actor: str,
        reason: str,
        refused: bool = False,
        key: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> int:
        """Send the signal that a step waits for, or will; returns the event's position. See `Ledger.approve`."""
        approve = partial(
            self._ledger.approve, saga_id, step, payload, actor=actor, reason=reason, refused=refused, key=key
        )
        what = f"the decision on step {step!r} of saga {saga_id!r} was not recorded"
        return await self._calls.call(approve, what, timeout)

    # Querying

    async def query(
        self,
        view: str,
        *,
        where: Where | None = None,
        attributes: Where | None = None,
        order: Sequence[str] = (),
        limit: int = 100,
        after: Row | None = None,
        wait_for: int | None = None,
        at: AnyMoment | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> QueryResult:
        """Rows of a view, with the position that they stand at: see `Ledger.query`.

        `wait_for`: a position that the rows must include; `TimedOut` says where the view stands instead.
        """
        self._calls.check_usable()
        check_one_time(at, wait_for)
        began = monotonic()
        seconds = checked_timeout(timeout, "timeout")
        read = partial(
            self._ledger.query, view, where=where, attributes=attributes, order=order, limit=limit, after=after, at=at
        )
        if wait_for is not None:
            await self._waits.view(view, wait_for, seconds)
            if attributes:
                await self._waits.view(ATTRIBUTES, wait_for, seconds - (monotonic() - began))
        return await self._calls.call(read, f"view {view!r} was not read", seconds - (monotonic() - began))

    async def run(self, call: Callable[[Ledger], T], *, timeout: float = TIMEOUT_SECONDS) -> T:
        """Make any other call of the `Ledger` on a thread: `await ledger.run(lambda it: list(it.states(ids)))`."""
        return await self._calls.call(partial(call, self._ledger), "the call did not return", timeout)


def _check_threads(threads: Any) -> None:
    if not isinstance(threads, int) or threads < 1:
        raise InvalidInput(f"AsyncLedger(threads={threads!r}): use a whole number, 1 or more")


def _name(saga: Saga[Any] | str) -> str:
    return f"saga {saga if isinstance(saga, str) else saga.name!r}"


def _close_unwanted(opening: Future[Ledger]) -> None:
    """Close a ledger that was opened after its caller had given up."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
