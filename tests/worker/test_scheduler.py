"""Schedules in workers: each tick starts its saga once, with two workers, and when one is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from threading import Barrier, Thread
from time import monotonic, sleep

import pytest

from sagaledger import App, Ledger, Schedule, Unavailable
from sagaledger.domain.saga.events import SagaStarted
from sagaledger.domain.schedule.events import ScheduleTickStarted
from sagaledger.domain.schedule.state import ScheduleState
from sagaledger.infrastructure.event_store.append_call import AppendCall, Receipt
from sagaledger.infrastructure.event_store.verify import verify
from sagaledger.infrastructure.runtime import failpoints
from sagaledger.infrastructure.worker.coordination.scheduler import THREAD, Scheduler

from .clockwork import APP, EVERY_SECOND, SOMETIMES, TEN_MINUTES, at_of, chime
from .conftest import PATIENCE_SECONDS, play, until, worker_on

NOON = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
TEN = timedelta(minutes=10)
PROGRAM = Path(sys.executable).with_name("sagaledger")


def ticks_of(ledger: Ledger, schedule: Schedule) -> Sequence[datetime]:
    """The ticks that started, in order, as the schedule's stream says."""
    events = (recorded.event for recorded in ledger.schedules.history(schedule.name))
    return sorted(event.tick for event in events if isinstance(event, ScheduleTickStarted))


def sagas_started(ledger: Ledger) -> Sequence[datetime]:
    """For each saga that started, in order, the tick that is its input."""
    rows = ledger.backend.read(0, limit=100_000, topics=(SagaStarted.schema.name,))
    inputs = [ledger.context.codec.decode(row).event.input for row in rows]  # type: ignore[attr-defined]
    return sorted(datetime.fromisoformat(bytes(each).decode().strip('"')) for each in inputs)


def look_at(ledger: Ledger, now: Callable[[], datetime]) -> None:
    """A scheduler looks once, and again until nothing is left to do."""
    scheduler = Scheduler(ledger.context, now)
    for _ in range(20):
        scheduler.look()


def test_schedulers_that_race_start_each_tick_once(url: str) -> None:
    """Three at once, each with a connection of its own, on ticks that are all due."""
    with ExitStack() as stack:
        ledgers = [stack.enter_context(Ledger.open(url, TEN_MINUTES, create=True)) for _ in range(3)]
        look_at(ledgers[0], lambda: NOON)
        together = Barrier(len(ledgers))

        def race(ledger: Ledger) -> None:
            together.wait()
            look_at(ledger, lambda: NOON + 20 * TEN)

        threads = [Thread(target=race, args=(ledger,)) for ledger in ledgers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)

        expected = [NOON.replace(minute=10) + n * TEN for n in range(20)]
        assert sagas_started(ledgers[0]) == ticks_of(ledgers[0], SOMETIMES) == expected


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_scheduler_that_is_killed_anywhere_starts_each_tick_once(url: str) -> None:
    """Before and after each exchange with the database, as a power cut would; another one goes on."""
    with Ledger.open(url, TEN_MINUTES, create=True) as ledger:
        look_at(ledger, lambda: NOON)
    killed = 0
    for crossing in range(0, 60, 3):
        now = NOON + 2 * (killed + 1) * TEN
        if not _is_killed_at(crossing, url, now):
            break
        killed += 1
        with Ledger.open(url, TEN_MINUTES) as ledger:
            look_at(ledger, partial(_same, now))

    with Ledger.open(url, TEN_MINUTES) as ledger:
        expected = [NOON.replace(minute=10) + n * TEN for n in range(2 * killed + 2)]
        assert killed >= 5
        assert sagas_started(ledger) == ticks_of(ledger, SOMETIMES) == expected
        assert verify(ledger.backend).ok


def _same(now: datetime) -> datetime:
    return now


def _is_killed_at(crossing: int, url: str, now: datetime) -> bool:
    """Let a process look once at a time; returns whether it came to the exchange at which it is killed."""
    child = os.fork()
    if child == 0:
        left = 2 * crossing + crossing % 2

        def listen(_name: str, _after: bool) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            ledger = Ledger.open(url, TEN_MINUTES)
            failpoints.set_listener(listen)
            look_at(ledger, lambda: now)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_two_workers_and_one_that_is_killed_start_each_second_once(postgres_url: str) -> None:
    """No second is left out while the killed one's lease runs out, and none starts twice."""
    with Ledger.open(postgres_url, APP, create=True) as ledger:
        words = [PROGRAM, "worker", "--db", postgres_url, "--app", f"{Path(__file__).with_name('clockwork.py')}:APP"]
        other = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait(lambda: any(each.started for each in ledger.schedules.list()))

            async def scene() -> None:
                async with worker_on(ledger):
                    other.kill()
                    so_far = len(ticks_of(ledger, EVERY_SECOND))
                    await until(lambda: len(ticks_of(ledger, EVERY_SECOND)) >= so_far + 2)

            play(scene())
        finally:
            other.kill()
            other.wait()
        ticks = ticks_of(ledger, EVERY_SECOND)

        assert sagas_started(ledger) == ticks
        assert {later - earlier for earlier, later in pairwise(ticks)} == {timedelta(seconds=1)}


def test_a_worker_works_a_schedule_and_hears_of_people(sqlite_url: str) -> None:
    """A tick runs through its saga; a trigger is done during a pause; the saga's history names the schedule."""
    hourly = Schedule("hourly", chime, cron="0 * * * *", timezone="Europe/London", input=at_of)
    with Ledger.open(sqlite_url, App(sagas=[chime], schedules=[hourly])) as ledger:

        async def scene() -> str:
            async with worker_on(ledger) as worker:
                assert ledger.schedules.get("hourly").declared
                ledger.schedules.pause("hourly", actor="ann", reason="maintenance")
                saga_id = ledger.schedules.trigger("hourly", actor="ann", reason="now")
                await until(lambda: ledger.schedules.get("hourly").started == 1)
                await worker.outcome(saga_id)
            return saga_id

        saga_id = play(scene())

        assert saga_id == "chime-hourly@trigger-1"
        started = [r.event for r in ledger.history(saga_id) if isinstance(r.event, ScheduleTickStarted)]
        assert [(each.schedule, each.cause) for each in started] == [("hourly", "trigger")]
        assert ledger.state(saga_id).status == "completed"
        assert [row["saga_id"] for row in _sagas(ledger)] == [saga_id]


def test_a_worker_starts_what_was_missed_before_it_is_idle(sqlite_url: str) -> None:
    """So a worker that works until nothing is left does not miss it."""
    with Ledger.open(sqlite_url, TEN_MINUTES) as ledger:
        look_at(ledger, lambda: datetime.now(UTC) - 3 * TEN)

        async def scene() -> None:
            async with worker_on(ledger) as worker:
                await worker.idle()

        play(scene())

        assert ledger.schedules.get("sometimes").started >= 3


def test_a_database_that_was_away_at_a_tick_is_asked_again(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tick is not forgotten, although nothing else is written in the meantime."""
    with Ledger.open(sqlite_url, TEN_MINUTES) as ledger:
        now = NOON
        scheduler = Scheduler(ledger.context, lambda: now)
        scheduler.look()
        scheduler.look()
        now += TEN
        with monkeypatch.context() as away:
            away.setattr(ledger.backend, "append", _is_away)
            with pytest.raises(Unavailable, match="away"):
                scheduler.look()
        scheduler.look()

        assert ticks_of(ledger, SOMETIMES) == [NOON.replace(minute=10)]


def test_a_schedule_that_cannot_be_worked_leaves_the_others_alone_and_is_logged_once(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again at each look, and works as soon as it can."""
    first = Schedule("first", chime, cron="*/10 * * * *", input=at_of, overlap="allow")
    with Ledger.open(sqlite_url, App(sagas=[chime], schedules=[first, SOMETIMES])) as ledger:
        now = NOON
        scheduler = Scheduler(ledger.context, lambda: now)
        scheduler.look()
        now += TEN
        settle = scheduler._starter.settle
        with monkeypatch.context() as broken:
            broken.setattr(scheduler._starter, "settle", lambda *given: _fail_at(first, settle, *given))
            scheduler.look()
            scheduler.look()
            assert (ticks_of(ledger, first), ticks_of(ledger, SOMETIMES)) == ([], [NOON.replace(minute=10)])
        scheduler.look()

        assert ticks_of(ledger, first) == [NOON.replace(minute=10)]
    [logged] = caplog.records
    assert logged.getMessage() == "schedule first starts nothing until this is mended: first"
    assert (logged.levelname, logged.schedule, logged.error_type) == ("ERROR", "first", "ZeroDivisionError")  # type: ignore[attr-defined]
    assert logged.exc_info is not None


def _fail_at(
    broken: Schedule, settle: Callable[[Schedule, datetime], ScheduleState], schedule: Schedule, now: datetime
) -> ScheduleState:
    if schedule is broken:
        raise ZeroDivisionError(schedule.name)
    return settle(schedule, now)


def test_a_worker_says_once_that_a_later_one_declares_a_schedule_otherwise(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """That declaration counts for both."""
    hourly = Schedule("sometimes", chime, cron="0 * * * *", input=at_of, overlap="allow")
    with Ledger.open(sqlite_url, TEN_MINUTES) as ledger:
        earlier = Scheduler(ledger.context, lambda: NOON)
        earlier.look()
        with Ledger.open(sqlite_url, App(sagas=[chime], schedules=[hourly])) as other:
            Scheduler(other.context, lambda: NOON).look()
        for hours in (1, 2):
            later = NOON + timedelta(hours=hours)
            earlier._now = partial(_same, later)
            earlier.look()

        assert ticks_of(ledger, SOMETIMES) == [NOON.replace(minute=0) + timedelta(hours=n) for n in (1, 2)]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert told[0].startswith("schedule sometimes goes by what another worker declared since this one began: ")


def _is_away(_: AppendCall) -> Receipt:
    raise Unavailable("the database is away")


def test_without_schedules_there_is_no_thread(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is asked of the database."""
    monkeypatch.setattr(Scheduler, "look", lambda _: pytest.fail("it looked"))
    with Ledger.open(sqlite_url, App(sagas=[chime])) as ledger:

        async def scene() -> None:
            async with worker_on(ledger):
                await asyncio.sleep(0)

        play(scene())


def test_a_worker_that_is_cancelled_while_it_begins_leaves_no_thread(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look goes on in a thread of the event loop, and ends after the worker has."""
    with Ledger.open(sqlite_url, TEN_MINUTES) as ledger:
        scheduler = Scheduler(ledger.context, lambda: NOON)
        monkeypatch.setattr(scheduler, "look", scheduler.stop)
        scheduler.start()

        assert THREAD not in {thread.name for thread in threading.enumerate()}


def _sagas(ledger: Ledger) -> Sequence[dict[str, object]]:
    projector = ledger.projector()
    projector.catch_up()
    projector.stop()
    return ledger.query("sagas").rows


def _wait(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + PATIENCE_SECONDS
    while not condition():
        assert monotonic() < deadline, "waited too long"
        sleep(0.02)
