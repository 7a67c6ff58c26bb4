"""Requests as telemetry sees them: their spans, their durations by route, and the readers of the stream of events."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..runtime.trace_context import parse_traceparent

TRACEPARENT: Final = "sagaledger.traceparent"
"""Where the scope of a request has the trace context of its span."""


class RequestTelemetry(Protocol):
    """The part of `Telemetry` that the API uses; it asks for no library by itself."""

    def request(self, method: str, traceparent: str | None) -> AbstractContextManager[Any]:
        """Record the span of a request, and its duration."""
        ...

    def subscribed(self, by: int) -> None:
        """Add to the number of readers of the stream of events."""
        ...

    def metrics_text(self) -> bytes:
        """Return every metric in the text format of Prometheus."""
        ...


def traceparent_of(scope: Scope) -> str | None:
    """Return the W3C trace context of a request: of its span, or else the one that it came with; None without one."""
    headers = dict(scope["headers"])
    text = scope.get(TRACEPARENT) or headers.get(b"traceparent", b"").decode("latin-1")
    context = parse_traceparent(text)
    return None if context is None else str(context)


class ObservedRequests:
    """Records each request of a program. What a request writes then belongs to the trace of the request."""

    def __init__(self, app: ASGIApp, telemetry: RequestTelemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        traceparent = headers.get(b"traceparent", b"").decode("latin-1") or None
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._telemetry.request(scope["method"], traceparent) as request:
            scope[TRACEPARENT] = request.traceparent or traceparent
            try:
                await self._app(scope, receive, send_and_note)
            finally:
                request.answered(scope.get("sagaledger.route", "unknown"), status)
