"""Crashes a process in a test at each point where it has changed the world: after each commit and each call of a step.

The crash is simulated in this process: from that point on nothing reaches the database, and no step begins. Then the
same ledger is worked to its end. The objects that stand for services remember what they were asked.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ...domain.saga.events import SagaStarted
from ...domain.saga.outcome import Success
from ..event_store.connect import open_backend
from ..event_store.sqlite.clock import set_clock
from ..event_store.verify import verify
from ..ledger.app import App
from ..ledger.ledger import Ledger
from ..runtime import failpoints
from ..runtime.clock import SYSTEM_CLOCK
from ..worker.engine import Engine
from ..worker.messages import AttemptEnded, Dispatch, EngineMessage
from ..worker.steps.attempt import attempt
from ..worker.steps.running_attempt import RunningAttempt
from ..worker.steps.thread_runner import ThreadRunner
from .frozen_clock import FrozenClock

TURNS_MAX = 10_000
SAGAS_MAX = 10_000
EMPTY = "empty.db"
CHANGES = ("sqlite COMMIT", "call ")
"""What changes the world. Between two of these a crash leaves the same behind, so one is enough there."""
BEGINNING = "the beginning"

Play = Callable[[Ledger], object]
"""What a test does with a ledger."""


class SimulatedCrash(BaseException):
    """The process dies here. No handler of an `Exception` catches it."""


class CrashedSaga(NamedTuple):
    """How a saga ended."""

    saga_id: str
    status: str
    result: bytes | None


class CrashTest:
    """Plays a scenario once without a crash, and then once for each point, each time on a ledger of its own.

    `folder`: where the SQLite files are put.
    """

    def __init__(self, app: App, folder: Path) -> None:
        self._app = app
        self._folder = folder

    def __call__(self, scenario: Play, *, check: Play | None = None, points_max: int | None = None) -> Sequence[str]:
        """Crash at every point of a scenario; returns the points, such as `call charge forward`.

        - `scenario`: what clients do, such as starting sagas by their keys. It is played again after the crash, as by
          clients that received no answer, so it must be safe to repeat;
        - `check`: what must hold once everything has ended; it is called after every crash, and without one;
        - `points_max`: at most so many points, spread over all.

        After each crash the log must be whole, and every saga must have ended as it did without a crash.
        Raises `AssertionError`, which names the point, for anything else.
        """
        if self._folder.exists():
            shutil.rmtree(self._folder)
        self._folder.mkdir(parents=True)
        Ledger.open(f"sqlite:///{self._folder / EMPTY}", self._app, create=True).close()
        points: list[str] = []
        expected = self._play("undisturbed", scenario, check, points.append)
        step = 1 if points_max is None else max(1, -(-len(points) // points_max))
        for number in range(0, len(points), step):
            self._crash(number, points[number], scenario, check, expected)
        return points[::step]

    def _crash(
        self, number: int, point: str, scenario: Play, check: Play | None, expected: Sequence[CrashedSaga]
    ) -> None:
        name = f"crash-{number}"
        left = number

        def die(_: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise SimulatedCrash

        with suppress(SimulatedCrash):
            self._play(name, scenario, None, die)
        try:
            ended = self._play(name, scenario, check, None)
        except Exception as error:
            raise AssertionError(f"after a crash at point {number} ({point}): {error}") from error
        if ended != expected:
            raise AssertionError(
                f"after a crash at point {number} ({point}) it ended as {ended}, and not as {expected}"
            )

    def _play(
        self, name: str, scenario: Play, check: Play | None, cross: Callable[[str], None] | None
    ) -> Sequence[CrashedSaga]:
        """Play the scenario, and work until nothing is due; `cross` is called at each point on the way."""
        clock = FrozenClock(SYSTEM_CLOCK.now())
        path = self._folder / f"{name}.db"
        if not path.exists():
            shutil.copyfile(self._folder / EMPTY, path)  # much faster than making another one
        ledger = Ledger(open_backend(f"sqlite:///{path}"), self._app, clock=clock.clock)
        dead = False

        def hear(point: str, after: bool) -> None:
            nonlocal dead
            if dead:
                raise SimulatedCrash
            if cross is not None and after and point.startswith(CHANGES):
                try:
                    cross(point)
                except SimulatedCrash:
                    dead = True
                    raise

        def is_dead() -> bool:
            return dead

        with ledger:
            set_clock(clock.nanoseconds)
            failpoints.set_listener(hear)
            try:
                if cross is not None:
                    cross(BEGINNING)
                scenario(ledger)
                _work(ledger, clock, is_dead)
            finally:
                failpoints.set_listener(None)
                set_clock(None)
            return _ended(ledger, check)


def _work(ledger: Ledger, clock: FrozenClock, is_dead: Callable[[], bool]) -> None:
    """Turn an engine, one attempt after the other, until nothing is due."""
    engine = Engine(ledger.context, concurrency=100, lease_seconds=600.0)
    threads = ThreadRunner(1)
    inbox: list[EngineMessage] = []
    for _ in range(TURNS_MAX):
        turn = engine.turn(inbox)
        inbox = []
        for dispatch in turn.dispatch:
            inbox += asyncio.run(_attempt(dispatch, threads))
            if is_dead():  # what the step raised then is no outcome: nothing of this process is left
                raise SimulatedCrash
        if not inbox and not ledger.backend.entries():
            engine.finish()
            return
        if not inbox:
            due_at = min(entry.due_at for entry in ledger.backend.entries() if entry.due_at is not None)
            clock.advance(max(engine.seconds_to_wait(), (due_at - clock.now()).total_seconds()))
    raise AssertionError(f"not everything ended within {TURNS_MAX} turns")


async def _attempt(dispatch: Dispatch, threads: ThreadRunner) -> list[EngineMessage]:
    """Make an attempt; returns what it told, and its outcome."""
    told: list[EngineMessage] = []
    running = RunningAttempt(dispatch, asyncio.get_running_loop(), told.append)
    outcome = await attempt(running, threads)
    running.end(succeeded=isinstance(outcome, Success))
    return [*told, AttemptEnded(dispatch.saga, dispatch.attempt, outcome)]


def _ended(ledger: Ledger, check: Play | None) -> list[CrashedSaga]:
    """Verify the log, check what the test wants to hold, with the views up to date, and return how the sagas ended."""
    problems = verify(ledger.backend).problems
    if problems:
        raise AssertionError(f"the log is damaged: {problems}")
    if check is not None:
        projector = ledger.projector()
        projector.catch_up()
        projector.stop()
        check(ledger)
    started = ledger.backend.read(0, limit=SAGAS_MAX, topics=[SagaStarted.schema.name])
    saga_ids = sorted(row.stream_id for row in started)
    return [
        CrashedSaga(state.saga_id, str(state.status), None if state.result is None else bytes(state.result))
        for state in ledger.states(saga_ids)
    ]
