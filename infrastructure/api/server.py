"""A server process: the API on a socket, with a worker beside it if that is wanted."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from typing import Final, cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from ...domain.errors import InvalidInput
from ..runtime.event_loop import wait_for_stop
from ..worker.worker import Worker
from .application import Api
from .limits import CONNECTIONS_MAX, DRAIN_SECONDS, HEADER_SECONDS

KEEP_ALIVE_SECONDS: Final = 30


class BasePath:
    """Serves a program below a path, whether the proxy in front of the server leaves the path in requests or strips it.

    The program learns the path, so that links lead through the proxy; it takes requests with and without that path.
    """

    def __init__(self, app: ASGIApp, base: str) -> None:
        self._app = app
        self._base = base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "root_path": self._base}
        await self._app(scope, receive, send)


class _Protocol(H11Protocol):
    """HTTP/1.1 with a bound on the time in which a request's head must arrive."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._await_head()

    def _await_head(self) -> None:
        """Start the time for a head, unless it runs or a request is being answered."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # none before the first request
        if cycle is not None and not cycle.response_complete:
            self._stop_waiting()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """A server that leaves the signals of the process to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises `InvalidInput` for an address that cannot be used."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.create_server(address[:2], family=family, backlog=1_024)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidInput(f"cannot listen on {host} port {port}: {why}; give another --host or --port") from error
    # Connections inherit it. asyncio sets it only where the protocol was named, and without it the body of each answer
    # waits for the acknowledgement of its head, which takes 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


async def serve_until(
    stop: asyncio.Event,
    api: Api,
    listening: socket.socket,
    *,
    worker: Worker | None = None,
    projects: bool = False,
    base_path: str = "",
) -> None:
    """Serve until `stop` is set; then take no more requests, finish those that are under way, and stop the worker.

    `projects`: whether to keep the views up without a worker. Raises what ends the worker or the projector before.
    """
    config = uvicorn.Config(
        BasePath(api, base_path) if base_path else api,
        http=_Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = _Server(config)
    async with AsyncExitStack() as stack:
        ends: list[asyncio.Future[None] | Future[None]] = []
        if worker is not None:
            await stack.enter_async_context(worker)
            ends.append(asyncio.create_task(worker.run_until(stop)))
        elif projects:
            projector = api.context.projector()
            projector.start()
            stack.push_async_callback(asyncio.to_thread, projector.stop)
            ends.append(projector.ended)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await wait_for_stop(stop, serving, *ends)
        finally:
            api.stop_streams()
            server.should_exit = True
            await serving
