"""A server on a socket: it answers what it has begun before it ends, and does not wait for clients that never ask."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from sagaledger import InvalidInput, Ledger, Worker
from sagaledger.infrastructure.api import reading_requests, server
from sagaledger.infrastructure.api.asgi import asgi

from ..cli.shell import Shell
from .app import APP

Ask = Callable[[httpx.AsyncClient, asyncio.Event], Awaitable[None]]


def serve(url: str, ask: Ask, *, with_worker: bool = False) -> None:
    """Serve a ledger on any port, for as long as it is asked."""

    async def scene() -> None:
        stop = asyncio.Event()
        with Ledger.open(url, APP) as ledger:
            listening = server.listen("127.0.0.1", 0)
            assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)  # otherwise each answer takes 40 ms
            address = "http://{}:{}/api/v1".format(*listening.getsockname())
            worker = Worker(ledger) if with_worker else None
            serving = asyncio.create_task(
                server.serve_until(stop, asgi(ledger), listening, worker=worker, projects=worker is None)
            )
            async with httpx.AsyncClient(base_url=address, timeout=30) as client:
                await ask(client, stop)
            stop.set()
            async with asyncio.timeout(30):
                await serving

    asyncio.run(scene())


def test_a_server_that_stops_answers_what_it_has_begun(sqlite_url: str) -> None:
    """And a stream of events does not hold it up; the worker beside it has taken up the saga."""

    async def ask(client: httpx.AsyncClient, stop: asyncio.Event) -> None:
        body = {"definition": "payout", "input": {"number": "P1"}}
        await client.post("/sagas", json=body, headers={"Idempotency-Key": "1"})
        async with client.stream("GET", "/events?after=0") as events:
            lines = events.aiter_lines()
            while "StepSucceeded" not in await anext(lines):
                pass
            waiting = asyncio.create_task(client.get("/sagas/payout-P1/wait?timeout=0.5"))
            await client.get("/livez")  # the server has the request before this one by now
            stop.set()
            assert (await waiting).status_code == 504
            async with asyncio.timeout(15):
                assert [line async for line in lines if "StepFailed" in line] == []

    serve(sqlite_url, ask, with_worker=True)


def test_a_connection_that_never_asks_is_closed(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that sends half a head; one that sends half a body is told so; one that asks again and again is kept."""
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.1)
    monkeypatch.setattr(reading_requests, "BODY_SECONDS", 0.1)

    async def ask(client: httpx.AsyncClient, stop: asyncio.Event) -> None:
        assert not stop.is_set()
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(b"GET /api/v1/livez HTTP/1.1\r\nHost: local")
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        head = "POST /api/v1/sagas HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Idempotency-Key: k\r\nContent-Length: 9\r\n\r\n{{".encode())
        async with asyncio.timeout(20):
            assert (await reader.readline()).split()[1] == b"408"
        writer.close()
        assert (await client.get("/sagas/payout-P1/wait?timeout=0.3")).status_code == 404
        assert (await client.get("/readyz")).status_code == 200

    serve(sqlite_url, ask)


def test_an_address_that_cannot_be_served_is_refused(tmp_path: Path) -> None:
    """One that other machines reach, and a port that is taken: with one line that says what to do."""
    shell = Shell(tmp_path, "sqlite:///ledger.db")
    public = shell("serve", "--host", "0.0.0.0")  # noqa: S104 -- it is refused
    shell.close()
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(InvalidInput, match="give another --host or --port"),
    ):
        server.listen(*taken.getsockname())

    assert (public.returncode, public.stderr.count("\n"), "no tokens" in public.stderr) == (2, 1, True)
