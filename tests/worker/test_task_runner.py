"""Attempts run on the event loop, each in a task of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from sagaledger.domain.saga.decision import Attempt
from sagaledger.domain.saga.event_parts import Failure
from sagaledger.domain.saga.events import FORWARD
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState, Status
from sagaledger.domain.saga.step import StepContext
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.worker.group_commit.transition import context_of
from sagaledger.infrastructure.worker.held_sagas import HeldSaga
from sagaledger.infrastructure.worker.messages import AttemptEnded, AttemptProgressed, Dispatch
from sagaledger.infrastructure.worker.steps import task_runner
from sagaledger.infrastructure.worker.steps.task_runner import TaskRunner
from sagaledger.infrastructure.worker.steps.thread_runner import ThreadRunner

from .conftest import OpenLedger, play, short_history, until, worker_on

MOOD: ContextVar[str] = ContextVar("MOOD", default="calm")

Tasks = list["asyncio.Task[Any] | None"]


def runner_of(
    **steps: Callable[[], Awaitable[None]],
) -> tuple[TaskRunner, Callable[..., None], Tasks, list[AttemptEnded | AttemptProgressed]]:
    """Returns a runner, a function that begins steps by name, the tasks in which they ran, and their outcomes."""
    trip = Saga("trip", input=int)
    tasks: Tasks = []
    ended: list[AttemptEnded | AttemptProgressed] = []

    async def do(_: int, ctx: StepContext) -> None:
        tasks.append(asyncio.current_task())
        await steps[ctx.step]()

    for name in steps:
        trip.step(name=name, compensable=False)(do)
    state = SagaState("trip-1", input=trip.definition.write_input(1))
    saga = HeldSaga("trip-1", trip.definition, state, None)

    def dispatch(attempt: Attempt) -> Dispatch:
        context = context_of(trip.definition, state, attempt)
        return Dispatch(saga, trip.definition.step(attempt.step), attempt, context)

    runner = TaskRunner(ThreadRunner(1), ended.append)

    def run(*names: str) -> None:
        runner.run([dispatch(Attempt(name, FORWARD, 1, name)) for name in names])

    return runner, run, tasks, ended


def dispatch_of(name: str) -> Dispatch:
    """Returns the first attempt at a step of this name, which does nothing."""
    trip = Saga("trip", input=int)
    trip.step(name=name, compensable=False)(lambda *_: None)
    state = SagaState("trip-1", input=trip.definition.write_input(1))
    first = Attempt(name, FORWARD, 1, name)
    saga = HeldSaga("trip-1", trip.definition, state, None)
    return Dispatch(saga, trip.definition.step(name), first, context_of(trip.definition, state, first))


async def pass_by() -> None:
    """Never waits."""


def test_a_step_that_waits_delays_no_other() -> None:
    """The others begin at once and end before it."""

    async def scene() -> None:
        free = asyncio.Event()

        async def wait() -> None:
            await free.wait()

        runner, run, tasks, ended = runner_of(wait=wait, pass_by=pass_by)
        run("wait", "pass_by", *["wait"] * 98)
        await until(lambda: len(tasks) == 100)
        await until(lambda: len(runner) == 99)
        assert [one.attempt.step for one in ended] == ["pass_by"]

        free.set()
        await runner.wait()
        assert len(ended) == 100
        assert len(runner) == 0

    play(scene())


def test_each_attempt_has_a_task_and_a_context_of_its_own() -> None:
    """No step finds a context variable that another one set, or is cancelled because another one cancelled itself."""
    moods: list[str] = []

    async def sulk() -> None:
        moods.append(MOOD.get())
        MOOD.set("cross")

    async def give_up() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async def change_its_mind() -> None:
        await give_up()
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()

    async def rest() -> None:
        moods.append(MOOD.get())
        await asyncio.sleep(0)
        moods.append("rested")

    async def scene() -> None:
        runner, run, tasks, ended = runner_of(
            sulk=sulk, give_up=give_up, rest=rest, change_its_mind=change_its_mind, nap=rest
        )
        run("sulk", "sulk", "give_up", "rest", "change_its_mind", "nap")
        await runner.wait()
        assert len(set(tasks)) == 6
        assert len(ended) == 6

    play(scene())

    assert sorted(moods) == ["calm"] * 4 + ["rested"] * 2


@pytest.mark.parametrize("begun", [False, True])
def test_after_cancelling_no_attempt_begins(begun: bool) -> None:
    """Neither one that was dispatched and had no turn of the event loop yet, nor one that is dispatched later."""

    async def scene() -> None:
        free = asyncio.Event()

        async def wait() -> None:
            await free.wait()

        runner, run, tasks, _ = runner_of(wait=wait, pass_by=pass_by)
        run("wait", "pass_by")
        if begun:
            await until(lambda: len(tasks) == 2)
            run("wait")
        runner.cancel()
        run("wait", "pass_by")
        await runner.wait()
        await asyncio.sleep(0)
        assert len(tasks) == (2 if begun else 0)
        assert len(runner) == 0

    play(scene())


def test_a_step_that_cancels_its_own_task_has_failed(open_ledger: OpenLedger) -> None:
    """The failure is recorded and the step is tried again: nothing else would tell the saga what became of it."""
    trip = Saga("trip", input=int)

    @trip.step(retry=Retry(attempts=2, backoff_seconds=0.0), compensable=False)
    async def walk(_: int, ctx: StepContext) -> None:
        task = asyncio.current_task()
        if ctx.attempt == 1 and task is not None:
            task.cancel()
            await asyncio.sleep(0)

    ledger = open_ledger(App(sagas=[trip]))

    async def scene() -> None:
        async with worker_on(ledger) as worker:
            await worker.outcome((await worker.start(trip, 1, key="1")).saga_id)

    play(scene())

    assert short_history(ledger, "trip-1") == [
        "SagaStarted", "walk started", "walk failed", "walk started", "walk succeeded", "SagaCompleted",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("why", "limits", "error"),
    [
        ("timeout", {"timeout": 0.1}, "AttemptTimedOut"),
        ("silence", {"heartbeat_timeout": 0.1}, "HeartbeatTimedOut"),
        ("cancel", {}, "AttemptCancelled"),
    ],
)
def test_a_coroutine_that_ignores_its_cancelling_does_not_keep_its_saga(
    open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch, why: str, limits: dict[str, float], error: str
) -> None:
    """Its outcome is unknown, so it is compensated; what it returns in the end is dropped."""
    monkeypatch.setattr(task_runner, "GRACE_SECONDS", 0.1)
    trip = Saga("trip", input=int)
    free = asyncio.Event()
    undone: list[object] = []

    @trip.step(retry=Retry(attempts=1), **limits)  # type: ignore[call-overload]
    async def walk(_: int, __: StepContext) -> str:
        while not free.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await free.wait()
        return "arrived"

    @walk.compensation
    async def walk_back(_: int, result: str | None, __: StepContext) -> None:
        undone.append(result)

    ledger = open_ledger(App(sagas=[trip]))

    async def scene() -> Status:
        try:
            async with worker_on(ledger) as worker:
                await worker.start(trip, 1, key="1")
                await until(lambda: "walk started" in short_history(ledger, "trip-1"))
                if why == "cancel":
                    await asyncio.to_thread(ledger.cancel, "trip-1", actor="ann", reason="enough")
                status = (await worker.outcome("trip-1")).status
                free.set()
                await asyncio.sleep(0.05)
                return status
        finally:
            free.set()

    assert play(scene()) is Status.COMPENSATED
    assert undone == [None]
    assert short_history(ledger, "trip-1")[-3:] == ["walk undoing", "walk undone", "SagaCompensated"]
    failure = ledger.state("trip-1").steps["walk"].forward.error
    assert failure == Failure(error, "it ignores that it was cancelled, and runs on")
