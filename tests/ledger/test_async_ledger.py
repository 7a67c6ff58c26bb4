"""The client for asyncio programs: what `Ledger` does, awaited, within a time, and without a thread for each wait."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Event, Thread
from time import monotonic
from typing import Any

import psycopg
import pytest
from msgspec.json import decode
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from sagaledger import App, AsyncLedger, InvalidInput, Ledger, Saga, Status, StepContext, TimedOut, Unavailable
from sagaledger.domain.saga.events import Action
from sagaledger.infrastructure.errors import NotALedger, NotSupported, SagaConflict, SagaNotFound, WrongState
from sagaledger.infrastructure.event_store.start_requests import StartRequest
from sagaledger.infrastructure.ledger import pending_waits
from sagaledger.infrastructure.ledger.context import LedgerContext
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Asked

from ..worker.conftest import play, until, worker_on
from .trip import APP, Trip, trip

ROME = Trip("Rome", 2)
AT_ONCE = 0.0
LONG = 30.0

visit = Saga("visit", input=int, key=str)
visit.wait_for("permit")


@visit.step(compensable=False)
async def enter(number: int, ctx: StepContext) -> str:
    """Say who permitted it."""
    if number == 13:
        raise RuntimeError("the door is stuck")
    return f"{number} with {ctx.result('permit')}"


VISITS = App(sagas=[visit, trip], participants=APP._participants.values())


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[AsyncLedger]:
    async with AsyncLedger.open(url, VISITS, create=True, **settings) as ledger:
        yield ledger


def test_a_saga_is_driven_and_audited_from_an_event_loop(url: str) -> None:
    """It is started, waited for, signalled, read and queried, as by `Ledger`."""

    async def scene() -> None:
        async with opened(url) as ledger, worker_on(ledger) as worker:
            started = await ledger.start(visit, 1, actor="ann")
            again = await ledger.start("visit", 1)
            await ledger.signal(started.saga_id, "permit", "a stamp", actor="bob")
            state = await ledger.wait(started.saga_id, timeout=LONG)
            await worker.idle()
            projector = Projector(ledger.context.backend, ledger.context.codec, ledger.context.app.projections)
            await asyncio.to_thread(projector.catch_up)
            found = await ledger.query("sagas", where={"saga_id": started.saga_id}, wait_for=started.position)
            history = await ledger.history(started.saga_id)
            past = await ledger.query("sagas", where={"saga_id": started.saga_id}, at=f"@{started.position}")
            begun = await ledger.history(started.saga_id, at="v1")

            assert (started.created, again.created) == (True, False)
            assert decode(state.result or b"") == "1 with a stamp"
            assert (await ledger.state(started.saga_id, "v1")).version == 1
            assert [row["status"] for row in found.rows] == ["completed"]
            assert [row["status"] for row in past.rows] == ["running"]
            assert begun == history[:1]
            assert history[0].meta.actor == "ann"
            assert await ledger.run(lambda it: [s.status for s in it.states([started.saga_id])]) == [Status.COMPLETED]

    play(scene())


def test_people_decide_from_an_event_loop(url: str) -> None:
    """An approval, a cancellation, an intervention; and the errors are those of `Ledger`."""

    async def scene() -> None:
        async with opened(url) as ledger, worker_on(ledger):
            stuck = (await ledger.start(visit, 13)).saga_id
            left = (await ledger.start(visit, 2)).saga_id
            await ledger.approve(stuck, "permit", "yes", actor="bob", reason="fine")
            await ledger.cancel(left, actor="ann", reason="ill")
            assert (await ledger.wait(left, timeout=LONG)).status is Status.COMPENSATED
            with pytest.raises(WrongState):
                await ledger.cancel(left, actor="ann", reason="ill")
            with pytest.raises(SagaConflict):
                await ledger.start(visit, 3, key="2")
            with pytest.raises(SagaNotFound):
                await ledger.wait("visit-99", timeout=LONG)
            with pytest.raises(SagaNotFound):
                await ledger.state("visit-99")
            with pytest.raises(InvalidInput, match="no view"):
                await ledger.query("nonsense", wait_for=1)
            with pytest.raises(WrongState):
                await ledger.intervene(left, Action.SKIP, actor="ann", reason="no need")

    play(scene())


def test_the_client_takes_what_the_ledger_takes() -> None:
    """Each method has the parameters of `Ledger`'s, and a timeout."""
    differing = {}
    for name in ("start", "start_in", "history", "state", "cancel", "intervene", "signal", "approve"):
        theirs = list(inspect.signature(getattr(Ledger, name)).parameters)
        ours = list(inspect.signature(getattr(AsyncLedger, name)).parameters)
        if ours != [*theirs, "timeout"]:
            differing[name] = (theirs, ours)
    asked = {"self", "view", *Asked.__annotations__, "at", "timeout"} - {"timeout_seconds"}

    assert differing == {}
    assert set(inspect.signature(AsyncLedger.query).parameters) == asked


def test_a_thousand_wait_at_once_on_a_few_threads(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a thread for each, and with fewer looks than there are callers."""
    sagas = [f"visit-{number}" for number in range(100, 1100)]
    looks: list[int] = []
    really_look = pending_waits.look

    def look(context: LedgerContext, question: pending_waits.Question) -> pending_waits.Seen:
        looks.append(len(question.sagas))
        return really_look(context, question)

    monkeypatch.setattr(pending_waits, "look", look)

    async def scene() -> int:
        async with opened(postgres_url, threads=3) as ledger, worker_on(ledger) as worker:
            await asyncio.gather(*(worker.start(visit, number) for number in range(100, 1100)))
            waiting = [asyncio.create_task(ledger.wait(saga_id, timeout=LONG)) for saga_id in sagas]
            await asyncio.sleep(0)
            for number in (100, 600, 1099):
                await ledger.cancel(f"visit-{number}", actor="ann", reason="ill")
            threads = sum(thread.name.startswith("saga-ledger") for thread in threading.enumerate())
            ended = [waiting[0], waiting[500], waiting[999]]
            await asyncio.wait(ended)
            assert [task.result().status for task in ended] == [Status.COMPENSATED] * 3
            left = [task for task in waiting if not task.done()]
            for task in left:
                task.cancel()
            await asyncio.wait(left)
            assert (len(left), ledger._waits._sagas) == (997, {})
            return threads

    assert play(scene()) <= 4
    assert max(looks) == 1000
    assert len(looks) < 1000


def test_those_who_wait_are_not_read_all_the_time(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once all were read, the poll rests, in proportion to how long that took; a new caller is answered meanwhile."""
    monkeypatch.setattr(pending_waits, "REST_SHARE", 1e9)

    async def scene() -> None:
        async with opened(sqlite_url) as ledger, worker_on(ledger) as worker:
            for number in (1, 2):
                await ledger.start(visit, number)
            waiting = asyncio.create_task(ledger.wait("visit-1", timeout=0.5))
            await until(lambda: ledger._waits._read_all_at > 0)
            for number in (1, 2):
                await ledger.cancel(f"visit-{number}", actor="ann", reason="ill")
            await worker.idle()
            assert (await ledger.wait("visit-2", timeout=LONG)).status is Status.COMPENSATED
            with pytest.raises(TimedOut, match="'visit-1' is still running"):
                await waiting

    play(scene())


def test_a_wait_ends_with_the_status_when_its_time_is_over(url: str) -> None:
    """It says where the saga and the view stand."""

    async def scene() -> None:
        async with opened(url) as ledger:
            saga_id = (await ledger.start(visit, 1)).saga_id
            with pytest.raises(TimedOut, match=r"'visit-1' is still running after 0\.2 seconds"):
                await ledger.wait(saga_id, timeout=0.2)
            with pytest.raises(TimedOut, match=r"view 'sagas' is at position 0, and did not reach 1 within 0\.2"):
                await ledger.query("sagas", wait_for=1, timeout=0.2)
            with pytest.raises(InvalidInput, match="timeout is nan"):
                await ledger.wait(saga_id, timeout=float("nan"))

    play(scene())


def test_a_call_that_times_out_frees_its_caller_and_keeps_its_thread(sqlite_url: str) -> None:
    """Those that have not begun are never made; the one under way goes on, and closing waits for it."""
    held, made = Event(), list[int]()

    def hold(_: Ledger) -> None:
        held.wait(LONG)
        made.append(0)

    async def scene() -> None:
        async with opened(sqlite_url, threads=1) as ledger:
            with pytest.raises(TimedOut, match="may still happen"):
                await ledger.run(hold, timeout=0.05)
            for _ in range(5):
                with pytest.raises(TimedOut):
                    await ledger.run(lambda _: made.append(1), timeout=0.01)
            assert ledger._calls._pool._queue.qsize() == 0
            waiting = asyncio.create_task(ledger.run(lambda _: made.append(2)))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            held.set()
            await ledger.run(lambda _: made.append(3))

    play(scene())
    assert made == [0, 3]


def test_a_call_for_which_the_system_has_no_thread_is_not_made(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither then nor later; the next calls have their turns. With one thread at least, it makes the calls."""
    made = list[int]()

    def no_thread(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def scene() -> None:
        async with opened(sqlite_url, threads=2) as ledger:
            with monkeypatch.context() as patched:
                patched.setattr(Thread, "start", no_thread)
                for _ in range(3):
                    with pytest.raises(RuntimeError, match="new thread"):
                        await ledger.run(lambda _: made.append(1), timeout=LONG)
            await ledger.run(lambda _: made.append(2), timeout=LONG)
            with monkeypatch.context() as patched:
                patched.setattr(Thread, "start", no_thread)
                both = (ledger.run(lambda _: made.append(3), timeout=LONG) for _ in range(2))
                await asyncio.gather(*both)

    play(scene())
    assert made == [2, 3, 3]


def test_a_cancelled_start_is_there_or_not_and_can_be_repeated(url: str) -> None:
    """Forty are cancelled at any moment; each is then one saga."""

    async def scene() -> None:
        async with opened(url, threads=4) as ledger:
            starting = [asyncio.create_task(ledger.start(visit, number)) for number in range(40)]
            await asyncio.wait(starting[:5], return_when=asyncio.FIRST_COMPLETED)
            for task in starting:
                task.cancel()
            await asyncio.wait(starting)
            for number in range(40):
                await ledger.start(visit, number)
            starts = await ledger.run(lambda it: [len(it.history(f"visit-{number}")) for number in range(40)])
            assert starts == [1] * 40
            assert any(task.cancelled() for task in starting)

    play(scene())


def test_the_event_loop_goes_on_meanwhile(sqlite_url: str) -> None:
    """Also while the file is locked by another program."""

    async def scene() -> float:
        async with opened(sqlite_url) as ledger:
            release = Event()
            locked = Event()

            def lock() -> None:
                with ledger.context.backend._file.writing():  # type: ignore[attr-defined]
                    locked.set()
                    release.wait(LONG)

            holder = Thread(target=lock)
            holder.start()
            await asyncio.to_thread(locked.wait, LONG)
            starting = asyncio.create_task(ledger.start(visit, 1))
            began, longest = monotonic(), 0.0
            for _ in range(50):
                last = monotonic()
                await asyncio.sleep(0.002)
                longest = max(longest, monotonic() - last)
            assert not starting.done()
            assert monotonic() - began >= 0.1
            release.set()
            await starting
            holder.join()
            return longest

    assert play(scene()) < 0.5


def test_a_client_belongs_to_its_loop_and_its_process(sqlite_url: str) -> None:
    """Elsewhere it says so, and so does one that is not open, or not any more."""

    async def refused(ledger: AsyncLedger, error: type[Exception], match: str) -> None:
        with pytest.raises(error, match=match):
            await ledger.state("visit-1")
        with pytest.raises(error, match=match):
            await ledger.wait("visit-1", timeout=1)

    async def scene() -> None:
        with Ledger.open(sqlite_url, VISITS) as shared:
            client = AsyncLedger(shared)
            await refused(client, Unavailable, "is not open")
            async with client:
                await asyncio.to_thread(lambda: asyncio.run(refused(client, InvalidInput, "belongs to the event loop")))
                client._calls._process = os.getpid() + 1
                await refused(client, Unavailable, "before this process forked")
                client._calls._process = os.getpid()
                waiting = asyncio.create_task(client.wait(shared.start(visit, 1).saga_id, timeout=LONG))
                await asyncio.sleep(0.05)
            await refused(client, Unavailable, "is closed")
            with pytest.raises(Unavailable, match="is closed"):
                await waiting
            assert shared.state("visit-1").version == 1

    play(scene())


def test_a_ledger_that_opens_too_late_is_closed(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its caller has given up: nothing is left open."""
    go_on, closed = Event(), Event()
    really_open, really_close = Ledger.open, Ledger.close

    def open_late(url: str, app: App | None = None, **how: Any) -> Ledger:
        go_on.wait(LONG)
        return really_open(url, app, **how)

    def close(self: Ledger) -> None:
        really_close(self)
        closed.set()

    monkeypatch.setattr(Ledger, "open", open_late)
    monkeypatch.setattr(Ledger, "close", close)

    async def scene() -> None:
        with pytest.raises(TimedOut, match="was not open within"):
            async with opened(sqlite_url, timeout=0.05):
                raise AssertionError("it is not open")

    play(scene())
    assert not closed.is_set()
    go_on.set()
    assert closed.wait(LONG)


def test_those_who_wait_outlast_a_database_that_is_away(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose time ends meanwhile hears why; an error that a person must mend reaches all."""
    monkeypatch.setattr(pending_waits, "AWAY_SECONDS", 0.01)
    broken: list[Exception] = []

    async def scene() -> None:
        async with opened(url) as ledger:
            await ledger.start(visit, 1)
            await ledger.start(visit, 2)
            really_head = ledger.context.backend.head

            def head() -> Any:
                if broken:
                    raise broken[0]
                return really_head()

            monkeypatch.setattr(ledger.context.backend, "head", head)
            broken.append(Unavailable("no route"))
            waiting = asyncio.create_task(ledger.wait("visit-1", timeout=LONG))
            with pytest.raises(TimedOut, match="the database is away: no route"):
                await ledger.wait("visit-2", timeout=0.1)
            broken.clear()
            await ledger.cancel("visit-1", actor="ann", reason="ill")
            async with worker_on(ledger):
                assert (await waiting).status is Status.COMPENSATED
            broken.append(NotALedger("gone"))
            with pytest.raises(NotALedger, match="gone"):
                await ledger.wait("visit-2", timeout=LONG)

    play(scene())


# Starting inside a transaction of one's own


@asynccontextmanager
async def psycopg_connection(server: str) -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(server) as connection:
        yield connection


@asynccontextmanager
async def sqlalchemy_connection(server: str) -> AsyncIterator[Any]:
    engine = create_async_engine(server.replace("postgresql://", "postgresql+psycopg://"))
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


@asynccontextmanager
async def sqlalchemy_session(server: str) -> AsyncIterator[Any]:
    engine = create_async_engine(server.replace("postgresql://", "postgresql+psycopg://"))
    async with AsyncSession(engine) as session:
        yield session
    await engine.dispose()


CONNECTIONS = [psycopg_connection, sqlalchemy_connection, sqlalchemy_session]


def requests_of(ledger: AsyncLedger) -> list[StartRequest]:
    assert ledger.context.backend.start_requests is not None
    return ledger.context.backend.start_requests.listed(limit=100)


@pytest.mark.parametrize("connect", CONNECTIONS)
def test_a_saga_is_started_once_when_the_callers_transaction_commits(
    postgres_url: str, postgres_server: str, connect: Callable[[str], Any]
) -> None:
    """A rollback leaves nothing; a commit starts it once, however often it was asked for."""

    async def scene() -> None:
        async with opened(postgres_url) as ledger, connect(postgres_server) as mine:
            await ledger.start_in(mine, visit, 1)
            await mine.rollback()
            assert requests_of(ledger) == []
            saga_id = await ledger.start_in(mine, visit, 2, actor="ann")
            assert await ledger.start_in(mine, "visit", 2, actor="ann") == saga_id
            assert requests_of(ledger) == []
            await mine.commit()
            assert len(requests_of(ledger)) == 2
            async with worker_on(ledger) as worker:
                await worker.idle()
            names = [type(recorded.event).__name__ for recorded in await ledger.history(saga_id)]
            assert names.count("SagaStarted") == 1
            assert requests_of(ledger) == []
            with pytest.raises(SagaNotFound):
                await ledger.state("visit-1")

    play(scene())


@pytest.mark.parametrize("connect", CONNECTIONS)
def test_a_request_that_times_out_leaves_nothing_after_a_rollback(
    postgres_url: str, postgres_server: str, connect: Callable[[str], Any]
) -> None:
    """The table is locked; the caller's connection can be used again."""

    async def scene() -> None:
        async with opened(postgres_url) as ledger, connect(postgres_server) as mine:
            with psycopg.connect(postgres_url) as other:
                other.execute("LOCK TABLE requests")
                with pytest.raises(TimedOut, match="'visit' was not asked for yet: roll your transaction back"):
                    await ledger.start_in(mine, visit, 1, timeout=0.3)
                await mine.rollback()
                other.rollback()
            assert requests_of(ledger) == []
            await ledger.start_in(mine, visit, 2)
            await mine.commit()
            assert [request.saga_id for request in requests_of(ledger)] == ["visit-2"]

    play(scene())


@pytest.mark.parametrize("connect", CONNECTIONS)
def test_an_asynchronous_connection_is_for_the_asynchronous_client(
    postgres_url: str, postgres_server: str, connect: Callable[[str], Any]
) -> None:
    """`Ledger.start_in` names the client that takes it."""

    async def scene() -> None:
        async with opened(postgres_url) as ledger, connect(postgres_server) as mine:
            with pytest.raises(InvalidInput, match=r"is asynchronous: `await AsyncLedger\.start_in"):
                ledger._ledger.start_in(mine, visit, 1)

    play(scene())


def test_who_asks_is_the_requester_of_the_saga(postgres_url: str, postgres_server: str) -> None:
    """So a saga that excludes the requester from approving can be asked for."""
    trusted = Saga("trusted", input=int, key=str)
    trusted.wait_for("permit", exclude_requester=True)

    async def scene() -> None:
        app = App(sagas=[trusted])
        async with AsyncLedger.open(postgres_url, app) as ledger, psycopg_connection(postgres_server) as mine:
            saga_id = await ledger.start_in(mine, trusted, 1, actor="ann")
            await mine.commit()
            async with worker_on(ledger) as worker:
                await worker.idle()
            assert (await ledger.state(saga_id)).started_by == "ann"

    play(scene())


def test_a_synchronous_connection_is_for_the_synchronous_ledger(postgres_url: str, postgres_server: str) -> None:
    """It would block the event loop; and what is no connection at all is refused, too."""

    async def scene() -> None:
        async with opened(postgres_url) as ledger:
            with psycopg.connect(postgres_server) as mine:
                for connection in (mine, Session()):
                    with pytest.raises(InvalidInput, match=r"is synchronous.*use `Ledger\.start_in`"):
                        await ledger.start_in(connection, visit, 1)
            with pytest.raises(InvalidInput, match="is no connection"):
                await ledger.start_in("postgresql://", visit, 1)
            assert requests_of(ledger) == []

    play(scene())


def test_a_connection_to_another_database_is_refused(postgres_url: str, postgres_server: str) -> None:
    """Before anything is committed there."""

    async def scene() -> None:
        async with opened(postgres_url) as ledger:
            for connect in CONNECTIONS:
                async with connect(postgres_server.replace("/postgres?", "/template1?")) as mine:
                    with pytest.raises(NotALedger, match="database without this ledger"):
                        await ledger.start_in(mine, visit, 1)

    play(scene())


def test_a_sqlite_ledger_says_what_to_do_instead(sqlite_url: str) -> None:
    """It has no transaction to share."""

    async def scene() -> None:
        async with opened(sqlite_url) as ledger:
            with pytest.raises(NotSupported, match="commit, then call `start`"):
                await ledger.start_in(None, visit, 1)

    play(scene())


# Threads


def test_many_threads_share_one_ledger(url: str) -> None:
    """Each starts, signals, cancels, reads and queries its own sagas, and all start the same one: it is one saga."""
    failed: list[BaseException] = []
    created: list[bool] = []

    def work(ledger: Ledger, number: int) -> None:
        try:
            for round_ in range(4):
                created.append(ledger.start(visit, 0).created)
                mine = ledger.start(visit, 1000 * number + round_ + 1).saga_id
                ledger.signal(mine, "permit", "yes", actor="ann")
                ledger.cancel(mine, actor="ann", reason="ill")
                assert ledger.state(mine).version == 3
                assert [recorded.version for recorded in ledger.history(mine)] == [1, 2, 3]
                assert len(list(ledger.states([mine, "visit-0"]))) == 2
                ledger.query("sagas", limit=1)
        except BaseException as error:  # noqa: BLE001 -- the test raises it
            failed.append(error)

    with Ledger.open(url, VISITS, create=True) as ledger:
        threads = [Thread(target=work, args=(ledger, number)) for number in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert (len(created), sum(created)) == (32, 1)
        assert ledger.backend.head().position == 8 * 4 * 3 + 1
