"""One tail of the log for all streams of events of a server: it is read once, however many clients listen.

A client gets each event once, in the order of the log, and none is left out. It first reads the log by itself, page by
page, up to where the tail stands, and from there on the tail hands it what comes. If a client takes too long, what
waits for it is dropped, and it reads the log by itself again from where it stood: what waits is bounded.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from ...domain.errors import SagaledgerError
from ..event_store.codec import UnreadableEvent
from ..event_store.event_row import StoredRow
from ..ledger.context import LedgerContext
from ..ledger.saga_history import read_entry
from .conversions import event

TAIL_ROWS: Final = 500
"""How many events the tail reads at once."""
PAGE_EVENTS: Final = 25
"""How many events a client reads at once while it catches up: each client has memory of its own for them."""
SENT_BYTES: Final = 65_536
"""About how much is sent to a client at once."""
WAITING_EVENTS_MAX: Final = 1_000
"""How many events wait for one client; they are the same objects for all clients."""
WAITING_BYTES_MAX: Final = 4 * 1024 * 1024
LISTEN_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 0.5
"""How long to pause while the database is away."""

_log = logging.getLogger(__name__)

Run = Callable[[Callable[[], Any]], Awaitable[Any]]


class TailedEvent(NamedTuple):
    """An event as it is sent."""

    position: int
    topic: str
    stream_id: str
    correlation_id: str
    data: bytes
    """JSON."""


class StreamFilter(NamedTuple):
    """Which events a client wants."""

    topics: frozenset[str] = frozenset()
    """All if there are none."""
    saga_id: str | None = None

    def takes(self, topic: str, stream_id: str, correlation_id: str | None) -> bool:
        """Whether an event is wanted."""
        if self.topics and topic not in self.topics:
            return False
        return self.saga_id is None or self.saga_id in (stream_id, correlation_id)


class EventSubscription:
    """One client's stream. Iterate it: each item is a list of events, empty when nothing came for a while."""

    def __init__(self, tail: LogTail, wanted: StreamFilter, after: int, ping_seconds: float) -> None:
        self._tail = tail
        self._wanted = wanted
        self._ping_seconds = ping_seconds
        self.position = after
        """Everything up to there was handed over, or is not wanted."""
        self._is_live = False
        """Whether the tail hands over what comes; otherwise the client reads by itself."""
        self._waiting: deque[TailedEvent] = deque()
        self._waiting_bytes = 0
        self._news = asyncio.Event()

    def offer(self, events: Sequence[TailedEvent], upto: int) -> None:
        """Take what the tail read; too much of it lets the client read by itself again."""
        if not self._is_live:
            return
        takes = self._wanted.takes
        wanted = [
            each
            for each in events
            if each.position > self.position and takes(each.topic, each.stream_id, each.correlation_id)
        ]
        if not (wanted or self._waiting):
            self.position = max(self.position, upto)
            return
        self._waiting.extend(wanted)
        self._waiting_bytes += sum(len(each.data) for each in wanted)
        if len(self._waiting) > WAITING_EVENTS_MAX or self._waiting_bytes > WAITING_BYTES_MAX:
            self._is_live = False
            self._clear()
        self._news.set()

    def wake(self) -> None:
        """Let the client look again: the tail has ended."""
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[list[TailedEvent]]:
        while not self._tail.is_closed:
            if not self._is_live:
                page, position = await self._tail.read(self._wanted, self.position)
                self.position = position
                if position >= self._tail.position:  # nothing is awaited between this and the next offer
                    self._is_live = True
                if page:
                    yield page
                continue
            self._news.clear()
            if not self._waiting:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), self._ping_seconds)
            events = self._take()
            if events:
                self.position = events[-1].position
                yield events
            elif not self._news.is_set():
                yield []

    def _take(self) -> list[TailedEvent]:
        """Return the next of what waits: so much that little of it is copied for a client that does not read it."""
        events: list[TailedEvent] = []
        size_bytes = 0
        while self._waiting and size_bytes < SENT_BYTES:
            events.append(self._waiting.popleft())
            size_bytes += len(events[-1].data)
        self._waiting_bytes -= size_bytes
        return events

    def _clear(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0


class LogTail:
    """Reads the log on while there are clients. `run` makes a call that blocks, on a thread.

    `subscribed` is told of each client that comes (1) or leaves (-1).
    """

    def __init__(self, context: LedgerContext, run: Run, *, subscribed: Callable[[int], None] | None = None) -> None:
        self._context = context
        self._run = run
        self._subscribed = subscribed or (lambda _: None)
        self._subscriptions: set[EventSubscription] = set()
        self._reading: asyncio.Task[None] | None = None
        self.position = 0
        """Everything up to there was offered to the clients."""
        self.is_closed = False

    def __len__(self) -> int:
        """Return how many clients listen."""
        return len(self._subscriptions)

    async def subscribe(self, wanted: StreamFilter, after: int | None, *, ping_seconds: float) -> EventSubscription:
        """Add a client, which wants what comes after a position; None: after the present end of the log.

        Leave it with `unsubscribe`. Raises `Unavailable`.
        """
        head = int(await self._run(lambda: self._context.backend.head().position))
        if self._reading is None or self._reading.done():
            self.position = head
            self._reading = asyncio.create_task(self._follow())
        subscription = EventSubscription(self, wanted, head if after is None else min(after, head), ping_seconds)
        self._subscriptions.add(subscription)
        self._subscribed(1)
        return subscription

    def unsubscribe(self, subscription: EventSubscription) -> None:
        """Remove a client; without any, the log is not read."""
        if subscription in self._subscriptions:
            self._subscriptions.discard(subscription)
            self._subscribed(-1)

    def close(self) -> None:
        """End every stream."""
        self.is_closed = True
        for each in self._subscriptions:
            each.wake()

    async def read(self, wanted: StreamFilter, after: int) -> tuple[list[TailedEvent], int]:
        """Read one page for a client that is behind the tail; return its events, and up to where it is read then.

        While the database is away, it waits.
        """
        upto = self.position
        if after >= upto:
            return [], after
        while not self.is_closed:
            try:
                found: tuple[list[TailedEvent], int] = await self._run(
                    partial(_page, self._context, wanted, after, upto)
                )
            except SagaledgerError as error:
                _log.debug("a stream of events waits: %s", error)
                await asyncio.sleep(AWAY_SECONDS)
            else:
                return found
        return [], after

    async def _follow(self) -> None:
        while self._subscriptions and not self.is_closed:
            try:
                events, upto = await self._run(partial(_next, self._context, self.position))
            except SagaledgerError as error:
                _log.debug("the streams of events wait: %s", error)
                await asyncio.sleep(AWAY_SECONDS)
                continue
            self.position = upto
            if events:
                for each in list(self._subscriptions):
                    each.offer(events, upto)


def _next(context: LedgerContext, position: int) -> tuple[list[TailedEvent], int]:
    """Wait a while for more of the log, and read it."""
    head = context.backend.wait_beyond(position, LISTEN_SECONDS)
    if head <= position:
        return [], position
    rows = context.backend.read(position, limit=TAIL_ROWS, upto=head)
    return [_tailed(context, row) for row in rows], rows[-1].position if rows else position


def _page(context: LedgerContext, wanted: StreamFilter, after: int, upto: int) -> tuple[list[TailedEvent], int]:
    if wanted.saga_id is None:
        rows = context.backend.read(after, limit=PAGE_EVENTS, upto=upto, topics=sorted(wanted.topics))
        found = rows
    else:
        rows = context.backend.correlated(wanted.saga_id, after=after, limit=PAGE_EVENTS)
        found = [row for row in rows if row.position <= upto and wanted.takes(row.topic, row.stream_id, wanted.saga_id)]
    is_last = len(rows) < PAGE_EVENTS or rows[-1].position >= upto
    return [_tailed(context, row) for row in found], upto if is_last else rows[-1].position


def _tailed(context: LedgerContext, row: StoredRow) -> TailedEvent:
    try:
        data = msgspec.json.encode(event(read_entry(context, row)), enc_hook=str)
    except UnreadableEvent as error:  # it is not left out: the client learns that there is one
        data = msgspec.json.encode({"position": row.position, "event": row.topic, "unreadable": str(error)})
    return TailedEvent(row.position, row.topic, row.stream_id, row.correlation_id or row.stream_id, data)
