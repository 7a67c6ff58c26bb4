"""The stream of events (server-sent events): what is recorded, as it is recorded."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Final

from msgspec import Meta, Struct, field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..endpoint import INTEGER_MAX, ApiAnswer, ApiRequest, Endpoint, Position
from ..identity import Role
from ..limits import STREAMS_MAX
from ..log_tail import EventSubscription, LogTail, StreamFilter, TailedEvent
from ..problems import BAD_REQUEST, BUSY, RequestRefused

PING_SECONDS: Final = 15.0
SEND_SECONDS: Final = 30.0
"""How long a client may take to receive what is sent; one that takes longer is cut off."""
RETRY_MILLISECONDS: Final = 2_000


class EventsQuery(Struct, forbid_unknown_fields=True):
    """Which events."""

    topic: Annotated[list[str], Meta(max_length=100, description="Only events of this type. Repeatable.")] = field(
        default_factory=list
    )
    saga: Annotated[str | None, Meta(description="Only events of this saga and its participants.")] = None
    after: Annotated[
        Position | None,
        Meta(description="Begin after this position; by default at the end. The header Last-Event-ID goes before it."),
    ] = None


class EventStream(Response):
    """The answer: it goes on until the client leaves, or the server stops."""

    def __init__(self, tail: LogTail, subscription: EventSubscription, begin: bytes) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self.headers["content-type"] = "text/event-stream; charset=utf-8"
        self._tail = tail
        self._subscription = subscription
        self._begin = begin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send_all(scope, send))
        leaving = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._tail.unsubscribe(self._subscription)
            for task in (sending, leaving):
                task.cancel()
                with suppress(asyncio.CancelledError, TimeoutError, OSError):
                    await task

    async def _send_all(self, scope: Scope, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            await _send(send, self._begin)
            async for events in self._subscription:
                await _send(send, _encoded(events, self._subscription.position))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def stream(request: ApiRequest) -> ApiAnswer:
    """Open a stream."""
    query: EventsQuery = request.query
    if len(request.server.tail) >= STREAMS_MAX:
        raise _full()
    after = _last_event_id(request.headers.get("last-event-id"), query.after)
    wanted = StreamFilter(frozenset(query.topic), query.saga)
    subscription = await request.server.tail.subscribe(wanted, after, ping_seconds=PING_SECONDS)
    if len(request.server.tail) > STREAMS_MAX:  # others came meanwhile
        request.server.tail.unsubscribe(subscription)
        raise _full()
    begin = f"retry: {RETRY_MILLISECONDS}\n"
    if after is not None and after > subscription.position:  # the log that the client knows is not this one
        begin += f'event: reset\ndata: {{"position":{subscription.position}}}\n'
    begin += f"id: {subscription.position}\n\n"
    return ApiAnswer(EventStream(request.server.tail, subscription, begin.encode()))


def _full() -> RequestRefused:
    return RequestRefused(BUSY, f"{STREAMS_MAX:,} streams of events are open on this server")


def _last_event_id(header: str | None, after: int | None) -> int | None:
    if header is None:
        return after
    text = header.strip()
    if not (text.isascii() and text.isdigit() and int(text[:20]) <= INTEGER_MAX):
        raise RequestRefused(BAD_REQUEST, f"Last-Event-ID is a position of the log, not {text[:50]!r}")
    return int(text)


def _encoded(events: list[TailedEvent], position: int) -> bytes:
    if not events:
        return f": ping\nid: {position}\n\n".encode()
    return b"".join(b"id: %d\ndata: %b\n\n" % (each.position, each.data) for each in events)


async def _send(send: Send, body: bytes) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/events",
        role=Role.VIEWER,
        summary="What is recorded, as it is recorded (server-sent events)",
        handle=stream,
        answer=str,
        content_type="text/event-stream",
        query=EventsQuery,
    ),
)
