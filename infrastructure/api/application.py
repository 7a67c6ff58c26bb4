"""The API as an ASGI program: who may do what, within which bounds, and how an answer is sent.

One place lets every request in: it finds the endpoint, asks who makes the request, enforces the role, reads what the
request carries, and turns every error into a problem document.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic
from typing import Any, Final, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..ledger.blocking_calls import BlockingCalls
from ..ledger.context import HasContext, LedgerContext
from ..ledger.pending_waits import PendingWaits
from ..ledger.write_request import WriteRequest
from ..runtime.thread_pool import ThreadPool
from .endpoint import ApiAnswer, ApiRequest, Endpoint, ServerParts
from .endpoints import ENDPOINTS
from .identity import Authenticate, Forbidden, LoopbackOnly, Principal, Role
from .limits import REQUEST_SECONDS, REQUESTS_MAX, THREADS, WAIT_SECONDS_MIN
from .log_tail import LogTail
from .observing import ObservedRequests, RequestTelemetry, traceparent_of
from .openapi import OpenApiDocument
from .problems import (
    BUSY,
    METHOD_NOT_ALLOWED,
    NO_SUCH_PATH,
    READ_ONLY,
    STILL_RUNNING,
    RequestRefused,
    problem_of,
)
from .reading_requests import read_body, read_key, read_query, write_request
from .routing import Routes, path_below
from .sending_answers import response_to, without_body

PREFIX: Final = "api/v1"

TAIL_THREADS: Final = 3
"""One follows the log, and the others read it for clients that are behind."""
DOCUMENT: Final = OpenApiDocument(ENDPOINTS)
_AT_THE_ROOT: Final = (["livez"], ["readyz"], ["metrics"])
"""They are at the root as well, where those who watch over servers look for them."""

Middleware: TypeAlias = Callable[[ASGIApp], ASGIApp]


class Api:
    """The HTTP API of one ledger, an ASGI program: mount it in another one, or let `serve` run it.

    `middleware`: wraps the whole program, the first one outermost. `scope["sagaledger.route"]` then has the path of the
    endpoint as it is declared, such as `/sagas/{saga_id}`.
    `pages`: further programs below the path at which this one is mounted, by the first part of their path; each sees
    to who may use it.
    `checks`: what else must be right for the server to be ready; each returns what is wrong, or None.
    `telemetry`: records the requests, and has the metrics that `/metrics` answers with.

    It belongs to one event loop. Where a program that it is mounted in passes on no lifespan events, it begins with the
    first request, and `async with api.running()` ends it.
    """

    def __init__(
        self,
        ledger: HasContext,
        *,
        authenticate: Authenticate | None = None,
        read_only: bool = False,
        middleware: Sequence[Middleware] = (),
        pages: Mapping[str, ASGIApp] | None = None,
        checks: Sequence[Callable[[], str | None]] = (),
        telemetry: RequestTelemetry | None = None,
        threads: int = THREADS,
    ) -> None:
        self._context = ledger.context
        self._authenticate = authenticate or LoopbackOnly()
        self._read_only = read_only
        self._routes = Routes(ENDPOINTS)
        self._pages = dict(pages or {})
        self._checks = checks
        self._telemetry = telemetry
        self._calls = BlockingCalls("saga-api", threads)
        self._slow_calls = BlockingCalls("saga-api-slow", 1)
        self._is_open = False
        self._requests = 0
        self._probing: asyncio.Future[list[str]] | None = None
        self._running: set[Any] = set()
        """The ids of the requests that are writing now."""
        self._app: ASGIApp = self._serve if telemetry is None else ObservedRequests(self._serve, telemetry)
        for wrap in reversed(middleware):
            self._app = wrap(self._app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._app(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Api]:
        """Take requests for as long as the block lasts."""
        self._open()
        try:
            yield self
        finally:
            await self._close()

    @property
    def context(self) -> LedgerContext:
        """The ledger that it serves."""
        return self._context

    def stop_streams(self) -> None:
        """End the streams of events, so that a server which stops need not wait for them."""
        if self._is_open:
            self._tail.close()

    # Its life

    def _open(self) -> None:
        if self._is_open:
            return
        self._calls.open()
        self._slow_calls.open()
        self._waits_pool = ThreadPool("saga-api-waits", 1)
        self._waits = PendingWaits(self._context, lambda call: asyncio.wrap_future(self._waits_pool.submit(call)))
        self._probe_pool = ThreadPool("saga-api-probe", 1)
        self._tail_pool = ThreadPool("saga-api-tail", TAIL_THREADS)
        subscribed = None if self._telemetry is None else self._telemetry.subscribed
        self._tail = LogTail(
            self._context, lambda call: asyncio.wrap_future(self._tail_pool.submit(call)), subscribed=subscribed
        )
        self._server = ServerParts(
            self._waits,
            self._tail,
            self._probe,
            self._checks,
            DOCUMENT,
            self._read_only,
            None if self._telemetry is None else self._telemetry.metrics_text,
        )
        self._is_open = True

    async def _probe(self, call: Callable[[], list[str]]) -> list[str]:
        """Make a call that tells whether the database answers; while one hangs, no further one is made."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.wrap_future(self._probe_pool.submit(call))
        return await asyncio.shield(self._probing)

    async def _close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._tail.close()
        await self._waits.close(RequestRefused(BUSY, "the server is stopping"))
        await self._calls.close()
        await self._slow_calls.close()
        for pool in (self._waits_pool, self._probe_pool, self._tail_pool):
            pool.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._open()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self._close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    # One request

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._open()
        self._requests += 1
        response: ASGIApp
        try:
            self._check_room()
            response = await self._answer(scope, receive)
        except Exception as error:  # noqa: BLE001 -- the last boundary: each error is a problem document
            problem = problem_of(error)
            response = Response(problem.body, problem.status, problem.headers)
        finally:
            self._requests -= 1
        await response(scope, receive, without_body(send) if scope["method"] == "HEAD" else send)

    def _check_room(self) -> None:
        if self._requests > REQUESTS_MAX:
            raise RequestRefused(BUSY, f"the server answers {REQUESTS_MAX:,} requests at once")

    async def _answer(self, scope: Scope, receive: Receive) -> ASGIApp:
        parts = path_below(scope)
        page = self._pages.get(parts[0])
        if page is not None:
            scope["sagaledger.route"] = f"/{parts[0]}"
            return page
        prefix = PREFIX.split("/")
        if parts in _AT_THE_ROOT:
            parts = [*prefix, *parts]
        match = self._routes.match(parts[len(prefix) :]) if parts[: len(prefix)] == prefix else None
        if match is None:
            raise RequestRefused(NO_SUCH_PATH, f"there is nothing at {scope['path'][:200]!r}")
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        endpoint = match.endpoints.get(method)
        if endpoint is None:
            allowed = ", ".join(sorted(match.endpoints))
            raise RequestRefused(METHOD_NOT_ALLOWED, f"this path takes {allowed}", {"allow": allowed})
        scope["sagaledger.route"] = endpoint.path
        scope["sagaledger.path"] = parts[len(prefix) :]
        request = Request(scope, receive)
        principal = await self._principal(endpoint, request)
        query = read_query(endpoint, scope)
        key = read_key(request) if endpoint.writes else ""
        body, content = await read_body(endpoint, request)
        base = f"{scope.get('root_path', '')}/{PREFIX}"
        asked = ApiRequest(
            self._context,
            principal,
            match.parameters,
            query,
            body,
            request.headers,
            traceparent_of(scope),
            base,
            self._server,
        )
        if endpoint.writes:
            answer = await self._write(endpoint, asked, write_request(principal, key, request, content))
        else:
            answer = await self._perform(endpoint, asked)
        return response_to(endpoint, answer, asked, request)

    async def _principal(self, endpoint: Endpoint, request: Request) -> Principal:
        """Return who asks, if they may. Raises `Unauthenticated`, `Forbidden`, or `RequestRefused`."""
        if endpoint.role is None:
            return Principal("", Role.VIEWER)
        found = self._authenticate(request)
        principal = await found if inspect.isawaitable(found) else found
        if not principal.role.allows(endpoint.role):
            raise Forbidden(f"{principal.name} has the role {principal.role}, and this needs {endpoint.role}")
        if endpoint.writes and self._read_only:
            raise RequestRefused(READ_ONLY, "this server takes no request that writes")
        return principal

    async def _write(self, endpoint: Endpoint, asked: ApiRequest, identity: WriteRequest) -> ApiAnswer:
        """Answer a request that writes, unless the same one is being answered."""
        if identity.append_id in self._running:
            raise RequestRefused(STILL_RUNNING, "a request with this idempotency key is being answered")
        self._running.add(identity.append_id)
        try:
            on_behalf = asked._replace(context=self._context.on_behalf_of(identity))
            return await self._perform(endpoint, on_behalf)
        finally:
            self._running.discard(identity.append_id)

    async def _perform(self, endpoint: Endpoint, asked: ApiRequest) -> ApiAnswer:
        wait_for = getattr(asked.query, "wait_for", None)
        if wait_for is not None:
            views = [view.format_map(asked.path) for view in endpoint.views]
            views += ["saga_attributes"] if getattr(asked.query, "attr", None) else []
            deadline = monotonic() + asked.query.timeout
            for view in views:
                await self._waits.view(view, wait_for, max(deadline - monotonic(), WAIT_SECONDS_MIN))
        if inspect.iscoroutinefunction(endpoint.handle):
            answer: ApiAnswer = await endpoint.handle(asked)
            return answer
        is_slow = endpoint.slow and getattr(asked.query, "at", "") is not None
        calls = self._slow_calls if is_slow else self._calls
        handle: Any = endpoint.handle
        return await calls.call(partial(handle, asked), "the request was not answered", REQUEST_SECONDS)
