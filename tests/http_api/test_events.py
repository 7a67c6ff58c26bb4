"""The streams of events, on both databases: in order, nothing twice, nothing left out, however slow a client is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message, Scope

from sagaledger import Ledger, Unavailable
from sagaledger.infrastructure.api import log_tail
from sagaledger.infrastructure.api.application import Api
from sagaledger.infrastructure.api.asgi import asgi
from sagaledger.infrastructure.api.endpoints import events as events_endpoint
from sagaledger.infrastructure.api.log_tail import EventSubscription, LogTail, StreamFilter, TailedEvent
from sagaledger.infrastructure.event_store.event_log import EventLog
from sagaledger.infrastructure.ledger.context import LedgerContext

from ..worker.conftest import until
from .app import note

SECONDS = 30.0


class Listener:
    """A client of a stream; it takes the next part of the stream when it is told to."""

    def __init__(self, api: Api, query: str = "", last_event_id: str | None = None) -> None:
        headers = [] if last_event_id is None else [(b"last-event-id", last_event_id.encode())]
        self._scope: Scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/v1/events",
            "raw_path": b"/api/v1/events",
            "query_string": query.encode(),
            "headers": [(b"host", b"localhost"), *headers],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
            "scheme": "http",
        }
        self._api = api
        self._sent: asyncio.Queue[Message] = asyncio.Queue(1)
        self._leaving = asyncio.Event()
        self.text = ""
        self.status = 0

    async def __aenter__(self) -> Listener:
        self._serving = asyncio.create_task(self._api(self._scope, self._receive, self._sent.put))
        self.status = (await self._sent.get())["status"]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leaving.set()
        while not self._serving.done():
            await self.take(0.05)
        await self._serving

    async def _receive(self) -> Message:
        await self._leaving.wait()
        return {"type": "http.disconnect"}

    async def take(self, seconds: float = SECONDS) -> bool:
        """Take one part; returns whether there was one."""
        try:
            message = await asyncio.wait_for(self._sent.get(), seconds)
        except TimeoutError:
            return False
        self.text += message.get("body", b"").decode()
        return True

    async def until(self, condition: Callable[[], bool]) -> None:
        """Take parts until something holds."""
        while not condition():
            assert await self.take(), f"nothing comes: {self.text[-300:]}"

    @property
    def ended(self) -> bool:
        """Whether the server has ended the stream."""
        return self._serving.done()

    @property
    def positions(self) -> list[int]:
        """The positions of the events that it took."""
        return [json.loads(line[6:])["position"] for line in self.text.splitlines() if line.startswith("data: ")]

    @property
    def last_id(self) -> str:
        """The last id, with which a browser reconnects."""
        return [line[4:] for line in self.text.splitlines() if line.startswith("id: ")][-1]


def play(ledger: Ledger, scene: Callable[[Api], Awaitable[None]]) -> None:
    """Run a scene with an API."""

    async def run() -> None:
        async with asyncio.timeout(SECONDS):
            api = asgi(ledger)
            async with api.running():
                await scene(api)

    asyncio.run(run())


def start(ledger: Ledger, count: int) -> None:
    """Start some sagas: each is one event."""
    for _ in range(count):
        ledger.start(note, "x" * 100, actor="ann")


def test_a_stream_goes_on_from_where_the_client_was(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through pages of the past into what comes, and after a reconnect; the log is read once for all clients."""
    monkeypatch.setattr(log_tail, "PAGE_EVENTS", 3)
    start(ledger, 10)

    async def scene(api: Api) -> None:
        async with Listener(api, "after=2") as first, Listener(api) as newest:
            await first.until(lambda: first.positions == list(range(3, 11)))
            await asyncio.to_thread(start, ledger, 5)
            await first.until(lambda: first.positions == list(range(3, 16)))
            await newest.until(lambda: newest.positions == list(range(11, 16)))
        async with Listener(api, "after=2", last_event_id=first.last_id) as again:
            await asyncio.to_thread(start, ledger, 1)
            await again.until(lambda: again.positions == [16])

    play(ledger, scene)


def test_a_slow_client_misses_nothing_and_holds_up_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for it is dropped at some point, and it reads the log by itself."""
    monkeypatch.setattr(log_tail, "WAITING_EVENTS_MAX", 4)
    monkeypatch.setattr(log_tail, "PAGE_EVENTS", 3)

    async def scene(api: Api) -> None:
        async with Listener(api, "after=0") as slow, Listener(api, "after=0") as quick:
            await slow.take()
            for _ in range(3):
                await asyncio.to_thread(start, ledger, 8)
                await quick.until(lambda: len(quick.positions) % 8 == 0 and bool(quick.positions))
            await quick.until(lambda: len(quick.positions) == 24)
            assert len(slow.positions) == 0
            await slow.until(lambda: len(slow.positions) == 24)
            assert slow.positions == quick.positions == list(range(1, 25))

    play(ledger, scene)


def test_a_stream_has_what_was_asked_for(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the saga and by the type; a ping tells how far it is, so that a reconnect need not read all again."""
    monkeypatch.setattr(events_endpoint, "PING_SECONDS", 0.05)
    start(ledger, 3)
    saga_id = ledger.start(note, "mine", key="mine", actor="ann").saga_id
    ledger.signal(saga_id, "hint", 1, actor="ann")
    start(ledger, 2)

    async def scene(api: Api) -> None:
        async with (
            Listener(api, f"after=0&saga={saga_id}") as of_saga,
            Listener(api, "after=0&topic=SignalReceived") as of_type,
        ):
            await of_saga.until(lambda: of_saga.positions == [4, 5] and of_saga.last_id == "7")
            await of_type.until(lambda: of_type.positions == [5] and of_type.last_id == "7")
            assert ": ping" in of_type.text

    play(ledger, scene)


def test_a_client_that_is_ahead_of_the_tail_gets_nothing_twice() -> None:
    """The tail reads on from where others were, and hands over events that this client had before."""

    def tailed(position: int) -> TailedEvent:
        return TailedEvent(position, "SagaStarted", "note-1", "note-1", b"{}")

    async def unread(_: Callable[[], object]) -> object:
        raise AssertionError("the client is not behind")

    async def scene() -> None:
        tail = LogTail(LedgerContext.__new__(LedgerContext), unread)
        tail.position = 3
        subscription = EventSubscription(tail, StreamFilter(), 5, 0.01)
        batches = aiter(subscription)
        assert await anext(batches) == []
        subscription.offer([tailed(position) for position in (4, 5, 6)], 6)
        assert [event.position for event in await anext(batches)] == [6]

    asyncio.run(scene())


def test_a_client_of_another_log_begins_anew(ledger: Ledger) -> None:
    """Its position is beyond the end: it is told to forget what it knows."""
    start(ledger, 2)

    async def scene(api: Api) -> None:
        async with Listener(api, last_event_id="9000") as listener:
            await listener.until(lambda: "event: reset" in listener.text)
            assert 'data: {"position":2}' in listener.text
            assert listener.last_id == "2"
        async with Listener(api, last_event_id="nine") as wrong:
            assert wrong.status == 400

    play(ledger, scene)


def test_a_client_that_takes_nothing_is_cut_off(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while; so its connection does not stay for ever."""
    monkeypatch.setattr(events_endpoint, "SEND_SECONDS", 0.05)
    monkeypatch.setattr(events_endpoint, "STREAMS_MAX", 1)
    start(ledger, 3)

    async def scene(api: Api) -> None:
        async with Listener(api, "after=0") as stuck, Listener(api) as refused:
            assert refused.status == 503
            await until(lambda: stuck.ended)
            async with Listener(api) as next_one:
                assert next_one.status == 200

    play(ledger, scene)


def test_streams_end_when_the_server_stops_and_outlast_a_dead_database(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away for a while costs no event."""
    monkeypatch.setattr(log_tail, "AWAY_SECONDS", 0.01)
    away = Away(ledger)

    async def scene(api: Api) -> None:
        async with Listener(api, "after=0") as listener:
            await asyncio.to_thread(start, ledger, 1)
            await listener.until(lambda: listener.positions == [1])
            away.begin(monkeypatch)
            await until(lambda: away.refused >= 3)
            away.end()
            await asyncio.to_thread(start, ledger, 1)
            await listener.until(lambda: listener.positions == [1, 2])
            api.stop_streams()
            while not listener.ended:
                await listener.take(0.05)

    play(ledger, scene)


class Away:
    """A database that cannot be waited on for a while."""

    def __init__(self, ledger: Ledger) -> None:
        self._log: EventLog = ledger.backend
        self._wait = ledger.backend.wait_beyond
        self._is_away = False
        self.refused = 0

    def begin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be away."""
        self._is_away = True
        monkeypatch.setattr(self._log, "wait_beyond", self._refuse)

    def end(self) -> None:
        """Be back."""
        self._is_away = False

    def _refuse(self, position: int, timeout_seconds: float) -> int:
        if self._is_away:
            self.refused += 1
            raise Unavailable("gone")
        return self._wait(position, timeout_seconds)
