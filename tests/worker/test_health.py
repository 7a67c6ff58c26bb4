"""What a worker says of itself: whether it can begin steps, and whether it should be restarted."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg
import pytest

from sagaledger import App, Ledger, Saga, StepContext, Worker, WorkerHealth, WorkerState
from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.errors import PermanentlyUnavailable
from sagaledger.infrastructure.event_store.sqlite.store import SqliteStore
from sagaledger.infrastructure.worker.engine import Engine
from sagaledger.infrastructure.worker.health import STUCK_SECONDS

from ..chaos.proxy import Proxy
from .conftest import OpenLedger, play, until, worker_on
from .test_permanent_errors import lock_out, role_in

task = Saga("task", input=int, key=str)
RELEASED: dict[int, asyncio.Event] = {}


@task.step(compensable=False)
async def work(number: int, _: StepContext) -> None:
    """Work until the test says so."""
    await RELEASED.setdefault(number, asyncio.Event()).wait()


APP = App(sagas=[task])


def release(number: int) -> None:
    """Let the step of this task end."""
    RELEASED.setdefault(number, asyncio.Event()).set()


@pytest.fixture(autouse=True)
def _nothing_released() -> None:
    RELEASED.clear()


def test_a_worker_tells_what_it_does_from_before_its_start_to_after_its_end(open_ledger: OpenLedger) -> None:
    """Each state, with the sagas and steps, and the age of the oldest."""

    async def scene() -> None:
        ledger = open_ledger(APP)
        worker = Worker(ledger)
        assert worker.health() == WorkerHealth(WorkerState.STARTING)
        async with worker:
            await until(lambda: worker.health().ready)
            await worker.start(task, 1)
            await asyncio.sleep(0.05)
            await worker.start(task, 2)
            await until(lambda: worker.health().steps_running == 2)
            health = await asyncio.to_thread(worker.health)
            assert (health.state, health.sagas_held, health.healthy) == (WorkerState.RUNNING, 2, True)
            assert health.oldest_step_seconds is not None
            assert health.oldest_step_seconds >= 0.05
            release(1)
            await until(lambda: (worker.health().oldest_step_seconds or 9) < health.oldest_step_seconds)  # type: ignore[operator]
            await until(lambda: worker.health().views_lag_seconds == 0.0)
            assert (worker.health().success_seconds or 9) < 5
            assert (worker.health().lease_seconds or 9) < 15
            closing = asyncio.create_task(worker._close())
            await until(lambda: worker.health().state is WorkerState.DRAINING)
            assert not worker.health().ready
            release(2)
            await closing
        assert (worker.health().state, worker.health().healthy) == (WorkerState.CLOSED, False)
        assert worker.health().error is None

    play(scene())


@pytest.fixture
def proxied(postgres_url: str) -> Iterator[tuple[Proxy, str]]:
    """A door between a worker and PostgreSQL, and the URL through it."""
    folder = Path(str(psycopg.conninfo.conninfo_to_dict(postgres_url)["host"]))
    with Proxy(folder / ".s.PGSQL.5432") as proxy:
        yield proxy, postgres_url.replace(f"host={folder}", f"host={proxy.folder}")


def test_a_database_that_is_away_makes_a_worker_unready_until_it_is_back(proxied: tuple[Proxy, str]) -> None:
    """It stays healthy: to start it again would not help. It recovers by itself."""
    proxy, url = proxied

    async def scene() -> None:
        with Ledger.open(url, APP, create=True) as ledger:
            async with Worker(ledger) as worker:
                started = await worker.start(task, 1)
                await until(lambda: worker.health().ready)
                await asyncio.to_thread(proxy.leave)
                await until(lambda: worker.health().state is WorkerState.DATABASE_AWAY)
                away = worker.health()
                assert (away.ready, away.healthy, away.sagas_held) == (False, True, 1)
                assert away.error is not None
                release(1)
                await until(lambda: worker.health().views_lag_seconds is None)
                proxy.come_back()
                await until(lambda: worker.health().ready)
                assert (await worker.outcome(started.saga_id)).status is Status.COMPLETED
                await until(lambda: worker.health().views_lag_seconds == 0.0)
                assert worker.health().error is None

    play(scene())


def test_a_locked_file_makes_a_worker_unready_until_it_is_free(tmp_path: Path) -> None:
    """As another program does that keeps a transaction open."""
    path = tmp_path / "ledger.db"

    async def scene() -> None:
        store = SqliteStore(path, url=f"sqlite:///{path}", create=True, busy_seconds=0.05)
        with Ledger(store, APP) as ledger:
            async with worker_on(ledger) as worker:
                await worker.start(task, 1)
                await until(lambda: worker.health().ready)
                other = sqlite3.connect(path, isolation_level=None)
                other.execute("BEGIN IMMEDIATE")
                release(1)
                await until(lambda: worker.health().state is WorkerState.DATABASE_AWAY)
                assert "stayed locked" in (worker.health().error or "")
                other.execute("ROLLBACK")
                other.close()
                await worker.idle()
                assert worker.health().ready

    play(scene())


@pytest.mark.parametrize("project", [False, True])
def test_an_error_that_a_person_must_mend_is_told(postgres_server: str, empty_schema_url: str, project: bool) -> None:
    """The worker has failed, with the text of the error, and has to be started again."""

    async def work_until_it_fails(worker: Worker, role: str) -> None:
        async with worker:
            await until(lambda: worker.health().ready)
            await asyncio.to_thread(lock_out, postgres_server, role)
            await until(lambda: worker.health().state is WorkerState.FAILED)
            await worker.run_until(asyncio.Event())

    async def scene(url: str, role: str) -> None:
        with Ledger.open(url, APP, create=True) as ledger:
            worker = Worker(ledger, project=project)
            with pytest.raises(PermanentlyUnavailable, match="not permitted to log in"):
                await work_until_it_fails(worker, role)
            failed = worker.health()
            assert (failed.state, failed.ready, failed.healthy) == (WorkerState.FAILED, False, False)
            assert "not permitted to log in" in (failed.error or "")

    with role_in(postgres_server, empty_schema_url) as role:
        play(scene(empty_schema_url.replace("postgres:@", f"{role}:@"), role))


def test_an_engine_that_hangs_is_first_unready_and_then_unhealthy(
    open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease that it does not renew ends its readiness, long before it counts as stuck."""

    async def scene() -> None:
        ledger = open_ledger(APP)
        ahead = [0.0]
        now = ledger.context.clock.monotonic
        ledger.context.clock = ledger.context.clock._replace(monotonic=lambda: now() + ahead[0])
        async with worker_on(ledger, lease_seconds=15.0) as worker:
            await until(lambda: worker.health().ready)
            hanging = asyncio.Event()
            turn = Engine.turn
            loop, go_on = asyncio.get_running_loop(), Event()

            def hang(self: Engine, messages: Any) -> Any:
                loop.call_soon_threadsafe(hanging.set)
                go_on.wait(60)
                return turn(self, messages)

            monkeypatch.setattr(Engine, "turn", hang)
            await hanging.wait()
            assert worker.health().ready
            ahead[0] = 11.0
            assert (worker.health().ready, worker.health().healthy) == (False, True)
            ahead[0] = STUCK_SECONDS + 1
            assert not worker.health().healthy
            ahead[0] = 0.0
            monkeypatch.setattr(Engine, "turn", turn)
            go_on.set()
            await until(lambda: worker.health().ready)

    play(scene())


def test_any_thread_may_ask_while_steps_come_and_go(sqlite_url: str) -> None:
    """Hundreds of times."""
    asked: list[WorkerHealth] = []

    async def scene() -> None:
        with Ledger.open(sqlite_url, APP, create=True) as ledger:
            async with worker_on(ledger) as worker:
                asking = True

                def ask() -> None:
                    while asking and len(asked) < 3_000:
                        asked.append(worker.health())

                thread = Thread(target=ask)
                thread.start()
                for number in range(100):
                    release(number)
                await asyncio.gather(*(worker.start(task, number) for number in range(100)))
                await worker.idle()
                asking = False
                await asyncio.to_thread(thread.join)

    play(scene())
    assert len(asked) > 100
    assert {health.state for health in asked} <= {WorkerState.STARTING, WorkerState.RUNNING}
