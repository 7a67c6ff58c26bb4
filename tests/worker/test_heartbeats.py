"""Steps that take long say how far they have come, fail when they fall silent, and hear when they are not wanted."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from sagaledger.domain.errors import AttemptCancelled, DefinitionError
from sagaledger.domain.event import Event
from sagaledger.domain.recorded_event import Meta
from sagaledger.domain.saga.events import Direction, Effect, StepFailed, StepProgressed
from sagaledger.domain.saga.heartbeat import PROGRESS_BYTES_MAX
from sagaledger.domain.saga.outcome import Success, failure_of
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState, Status
from sagaledger.domain.saga.step import StepContext
from sagaledger.infrastructure.cli.output.event_text import describe
from sagaledger.infrastructure.cli.output.saga_text import saga_text
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.saga_overview import SagaOverview, saga_overview
from sagaledger.infrastructure.ledger.saga_start import SagaStart
from sagaledger.infrastructure.worker.engine import Engine
from sagaledger.infrastructure.worker.messages import AttemptEnded, AttemptProgressed, StartSaga
from sagaledger.infrastructure.worker.steps import running_attempt, task_runner
from sagaledger.infrastructure.worker.steps.running_attempt import RunningAttempt

from .conftest import drive, play, short_history, until, worker_on
from .long_step import APP, crawl
from .test_task_runner import dispatch_of

STYLES = pytest.mark.parametrize("style", ["coroutine", "function"])
ONCE = Retry(attempts=1)
OFTEN = Retry(attempts=5, backoff_seconds=0.0)
AT_ONCE = Retry(attempts=2, backoff_seconds=0.0)


def in_style(style: str, work: Callable[[StepContext], Any]) -> Callable[[int, StepContext], Any]:
    """Returns a step that does this: on a thread, or in a coroutine again and again until there is a result."""

    async def coroutine(_: int, ctx: StepContext) -> Any:
        while True:
            result = work(ctx)
            if result is not None:
                return result
            await asyncio.sleep(0.005)

    return coroutine if style == "coroutine" else lambda _, ctx: work(ctx)


def beats_until(style: str, done: Callable[[StepContext], bool]) -> Callable[[StepContext], Any]:
    """Returns what a step does that sends a heartbeat, and again, until it is done."""

    def once(ctx: StepContext) -> str | None:
        ctx.heartbeat()
        return "done" if done(ctx) else None

    def often(ctx: StepContext) -> str:
        while once(ctx) is None:
            time.sleep(0.005)
        return "done"

    return once if style == "coroutine" else often


def run(url: str, saga: Saga[int]) -> tuple[SagaOverview, list[Event]]:
    """Run one saga to its end."""
    with Ledger.open(url, App(sagas=[saga]), create=True) as ledger:

        async def scene() -> None:
            async with worker_on(ledger) as worker:
                await worker.outcome((await worker.start(saga, 1, key="1")).saga_id)

        play(scene())
        overview = saga_overview(ledger.context, "trip-1")
        assert isinstance(overview, SagaOverview)
        return overview, [recorded.event for recorded in overview.events]


@STYLES
def test_the_next_attempt_goes_on_where_the_last_one_was(url: str, style: str) -> None:
    """An attempt records its first progress and, when it fails, its last one; every reader of the log shows it."""
    trip = Saga("trip", input=int)
    found: list[Any] = []

    def work(ctx: StepContext) -> str:
        found.append(ctx.last_progress)
        for page in range(1, 100):
            ctx.heartbeat({"page": page})
            ctx.heartbeat()
        if ctx.attempt == 1:
            raise ConnectionError("not now")
        return "done"

    trip.step(name="walk", retry=AT_ONCE, compensable=False)(in_style(style, work))

    overview, events = run(url, trip)

    assert found == [None, {"page": 99}]
    told = [(event.attempt, bytes(event.progress)) for event in events if isinstance(event, StepProgressed)]
    pages = [b'{"page":%d}' % page for page in range(1, 100)]
    assert told[0][1] in pages  # the loop may get to it only once later ones have come
    assert len([one for one in told if one[0] == 1]) <= 2
    assert (1, pages[-1]) in told
    first_failure = next(index for index, event in enumerate(events) if isinstance(event, StepFailed))
    last = events[first_failure - 1]
    assert last == StepProgressed(last.at, "walk", 1, Direction.FORWARD, Raw(pages[-1]))
    assert overview.state.status is Status.COMPLETED
    assert overview.attempts[0]["progress"] == '{"page":99}'
    assert describe(last).detail == 'progress {"page":99}'
    assert any("progress" in block.columns for block in saga_text(overview, []) if not isinstance(block, str))


@STYLES
def test_an_attempt_that_falls_silent_has_failed(url: str, style: str) -> None:
    """Long before its timeout, and with an effect that is unknown; one that goes on to send heartbeats goes on."""
    trip = Saga("trip", input=int)
    let_go = threading.Event()
    begun: list[float] = []

    def work(ctx: StepContext) -> str | None:
        if ctx.attempt == 1:
            return None if style == "coroutine" else str(let_go.wait(30))
        begun.append(time.monotonic())
        return beats_until(style, lambda _: time.monotonic() > begun[0] + 0.5)(ctx)

    trip.step(name="walk", timeout=30, heartbeat_timeout=0.2, retry=OFTEN, compensable=False)(in_style(style, work))

    overview, events = run(url, trip)

    let_go.set()
    failed = next(event for event in events if isinstance(event, StepFailed))
    assert (failed.error.type, failed.error.message) == ("HeartbeatTimedOut", "no heartbeat in 0.2 s")
    assert failed.effect is Effect.UNKNOWN
    assert overview.state.status is Status.COMPLETED


def test_a_stalled_event_loop_is_not_the_silence_of_a_step(sqlite_url: str) -> None:
    """A coroutine that another one kept from running gets the time that it lost."""
    trip = Saga("trip", input=int)
    stalled = asyncio.Event()

    async def beat(_: int, ctx: StepContext) -> None:
        while not stalled.is_set():
            ctx.heartbeat()
            await asyncio.sleep(0.1)
        ctx.heartbeat()
        await asyncio.sleep(0.05)

    async def block(_: int, __: StepContext) -> None:
        await asyncio.sleep(0.05)
        time.sleep(0.6)  # noqa: ASYNC251 -- the fault that is meant
        stalled.set()

    trip.step(name="beat", heartbeat_timeout=0.3, after=[], retry=ONCE, compensable=False)(beat)
    trip.step(name="block", after=[], compensable=False)(block)

    overview, _ = run(sqlite_url, trip)

    assert overview.state.status is Status.COMPLETED


@pytest.mark.parametrize(
    ("style", "why"),
    [*itertools.product(["coroutine", "function"], ["cancel", "deadline", "refusal"]), ("item", "cancel")],
)
def test_an_attempt_hears_that_its_saga_compensates(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, style: str, why: str
) -> None:
    """Its next heartbeat raises, at once and not after a grace; it may have happened, and is undone."""
    monkeypatch.setattr(task_runner, "GRACE_SECONDS", 600.0)
    trip = Saga("trip", input=int, deadline=0.3 if why == "deadline" else None)
    told: list[bool] = []
    undone: list[Any] = []
    walking = threading.Event()

    def walk(ctx: StepContext) -> Any:
        walking.set()
        try:
            return beats_until(style, lambda _: False)(ctx)
        except AttemptCancelled:
            told.append(ctx.cancelled)
            raise

    async def refuse(_: int, __: StepContext) -> None:
        await asyncio.to_thread(walking.wait)
        if why == "refusal":
            sys.exit("no")

    name = "walk[0]" if style == "item" else "walk"
    declare = (
        trip.for_each(items=lambda *_: [7], name="walk", after=[])
        if style == "item"
        else trip.step(name="walk", after=[])
    )
    declare(in_style(style, walk)).compensation(lambda _, result, __: undone.append(result))
    trip.step(name="refuse", after=[], retry=ONCE, compensable=False)(refuse)
    with Ledger.open(sqlite_url, App(sagas=[trip]), create=True) as ledger:

        async def scene() -> Status:
            async with worker_on(ledger) as worker:
                await worker.start(trip, 1, key="1")
                if why == "cancel":
                    await until(lambda: "refuse succeeded" in short_history(ledger, "trip-1"))
                    await asyncio.to_thread(ledger.cancel, "trip-1", actor="ann", reason="enough")
                return (await worker.outcome("trip-1")).status

        assert play(scene()) is Status.COMPENSATED
        failed = [r.event for r in ledger.history("trip-1") if isinstance(r.event, StepFailed)][-1]
    assert (failed.error.type, failed.effect, failed.retry_at) == ("AttemptCancelled", Effect.UNKNOWN, None)
    assert failed.error.message == f"saga trip-1 compensates, so its step {name} is no longer wanted"
    assert told == [True]
    assert undone == [None]


def test_a_pivot_in_doubt_is_not_told_to_stop(sqlite_url: str) -> None:
    """Whether it happened is what its attempts find out before anything is undone."""
    trip = Saga("trip", input=int)
    cancelled = threading.Event()
    heard: list[bool] = []

    @trip.step(pivot=True, retry=AT_ONCE)
    async def pay(_: int, ctx: StepContext) -> str:
        if ctx.attempt == 1:
            raise ConnectionError("may have happened")
        await asyncio.to_thread(cancelled.wait)
        for _ in range(40):  # the worker reads what others wrote every 0.1 s
            ctx.heartbeat()
            await asyncio.sleep(0.01)
        heard.append(ctx.cancelled)
        return "paid"

    with Ledger.open(sqlite_url, App(sagas=[trip]), create=True) as ledger:

        async def scene() -> Status:
            async with worker_on(ledger) as worker:
                await worker.start(trip, 1, key="1")
                await until(lambda: short_history(ledger, "trip-1").count("pay started") == 2)
                await asyncio.to_thread(ledger.cancel, "trip-1", actor="ann", reason="enough")
                cancelled.set()
                return (await worker.outcome("trip-1")).status

        assert play(scene()) is Status.COMPLETED
        assert "CancelRequested" in short_history(ledger, "trip-1")
    assert heard == [False]


def test_a_late_attempt_records_nothing_and_is_told_so(sqlite_url: str) -> None:
    """A function that outlived its timeout: its progress, and its heartbeats, concern no one any more."""
    trip = Saga("trip", input=int)
    failed = threading.Event()
    told: list[str] = []

    def work(_: int, ctx: StepContext) -> None:
        if ctx.attempt == 1:
            failed.wait(30)
            try:
                ctx.heartbeat("late")
            except AttemptCancelled as error:
                told.append(str(error))
        else:
            failed.set()
            ctx.heartbeat("in time")
            raise ConnectionError

    trip.step(name="walk", timeout=0.1, retry=AT_ONCE, compensable=False)(work)

    _, events = run(sqlite_url, trip)

    assert [bytes(event.progress) for event in events if isinstance(event, StepProgressed)] == [b'"in time"']
    assert told == ["the attempt has ended: nothing that it does from now on is recorded"]


def test_a_late_report_is_dropped_where_it_would_be_recorded(sqlite_url: str) -> None:
    """One that reaches the engine once its attempt has an outcome, however it came there."""
    trip = Saga("trip", input=int)
    trip.step(name="walk", retry=AT_ONCE, compensable=False)(lambda *_: None)
    with Ledger.open(sqlite_url, App(sagas=[trip]), create=True) as ledger:
        engine = Engine(ledger.context, concurrency=10, lease_seconds=60.0)
        [first] = drive(engine, lambda: False, [StartSaga(SagaStart.of(trip.definition, 1, "1"), Meta(), None)])
        told = AttemptProgressed(first.saga, first.attempt, Raw(b"1"))
        failed = AttemptEnded(first.saga, first.attempt, failure_of(OSError("away")))

        [second] = drive(engine, lambda: False, [told, failed])
        late = AttemptProgressed(first.saga, first.attempt, Raw(b"2"))
        ended = AttemptEnded(second.saga, second.attempt, Success(Raw(b"3")))
        drive(engine, lambda: ledger.state("trip-1").end is not None, [late, ended, late])

        assert [event for event in short_history(ledger, "trip-1") if "Saga" not in event] == [
            "walk started", "StepProgressed", "walk failed", "walk started", "walk succeeded",
        ]  # fmt: skip
        assert first.saga.reports is None
        engine.finish()


@pytest.mark.parametrize(
    ("progress", "error"),
    [
        ("x" * PROGRESS_BYTES_MAX, "PayloadTooLarge"),
        (object(), "NotSerialisable"),
        (float("nan"), "NotSerialisable"),
    ],
)
def test_a_progress_that_cannot_be_kept_fails_the_step(sqlite_url: str, progress: Any, error: str) -> None:
    """For good: the next attempt would tell the same."""
    trip = Saga("trip", input=int)
    trip.step(name="walk", compensable=False)(lambda _, ctx: ctx.heartbeat(progress))

    overview, events = run(sqlite_url, trip)

    assert overview.state.cause == f"step walk failed ({error})"
    assert not any(isinstance(event, StepProgressed) for event in events)


@pytest.mark.parametrize(
    ("seconds", "timeout", "says"),
    [
        (0, None, "use a number, more than 0"),
        (-1, None, "use a number, more than 0"),
        (float("nan"), None, "use a number, more than 0"),
        ("5", None, "use a number, more than 0"),
        (5, 5, "would never end an attempt before its timeout of 5 seconds"),
    ],
)
def test_a_heartbeat_timeout_that_cannot_work_is_refused(seconds: Any, timeout: float | None, says: str) -> None:
    """For an action as for a compensation, whose timeout is the action's unless it has its own."""
    trip = Saga("trip", input=int)
    step = trip.step(name="walk", timeout=timeout)(lambda *_: None)

    with pytest.raises(DefinitionError, match=says):
        trip.step(heartbeat_timeout=seconds, timeout=timeout)
    with pytest.raises(DefinitionError, match=says):
        step.compensation(lambda *_: None, heartbeat_timeout=seconds)
    with pytest.raises(DefinitionError, match="is local and sends no heartbeats"):
        trip.local_step(name="note")(lambda *_: []).compensation(lambda *_: [], heartbeat_timeout=5)


def test_progress_is_recorded_at_intervals_the_latest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first at once, what follows once the interval is over without a further heartbeat, and no value twice."""
    monkeypatch.setattr(running_attempt, "PROGRESS_SECONDS", 0.1)
    told: list[AttemptEnded | AttemptProgressed] = []

    async def scene() -> list[bytes]:
        running = RunningAttempt(dispatch_of("walk"), asyncio.get_running_loop(), told.append)

        def beat_often() -> None:
            for number in range(1000):
                running.heard(Raw(b"%d" % number))

        running.heard(Raw(b'"first"'))
        await until(lambda: len(told) == 1)
        first_at = time.monotonic()
        await asyncio.to_thread(beat_often)
        await until(lambda: len(told) == 2)
        assert time.monotonic() - first_at > 0.05
        for _ in range(3):
            running.heard(Raw(b"999"))
            running.heard(None)
        await asyncio.sleep(0.15)
        running.heard(Raw(b'"unrecorded"'))
        await until(lambda: len(told) == 3)
        running.heard(Raw(b'"last"'))
        running.end(succeeded=False)
        with pytest.raises(AttemptCancelled):
            running.heard(Raw(b'"late"'))
        await asyncio.sleep(0.15)
        return [bytes(one.progress) for one in told if isinstance(one, AttemptProgressed)]

    assert play(scene()) == [b'"first"', b"999", b'"unrecorded"', b'"last"']


def test_what_a_killed_worker_recorded_is_there_for_the_next_attempt(url: str) -> None:
    """The worker is killed while it crawls; the next one's attempt finds the page at which it was."""
    script = Path(__file__).with_name("long_step.py")

    ended = subprocess.run([sys.executable, script, url], check=False, timeout=60, capture_output=True)

    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    with Ledger.open(url, APP) as ledger:

        async def scene() -> SagaState:
            async with worker_on(ledger) as worker:
                return await worker.outcome("crawl-1")

        state = play(scene())
        assert short_history(ledger, "crawl-1")[-3:] == ["fetch started", "fetch succeeded", "SagaCompleted"]
        assert "fetch unknown" in short_history(ledger, "crawl-1")
    assert crawl.definition.read_result("fetch", state.result or Raw(b"null")) == {"page": 3}
