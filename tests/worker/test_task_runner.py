"""Steps that never wait share a task of the event loop, and none of them notices the others there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

from sagaledger.domain.saga.decide import Attempt
from sagaledger.domain.saga.events import FORWARD
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState
from sagaledger.domain.saga.step import StepContext
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.worker.group_commit.transition import HeldSaga, context_of
from sagaledger.infrastructure.worker.messages import AttemptEnded, Dispatch
from sagaledger.infrastructure.worker.steps.task_runner import TaskRunner
from sagaledger.infrastructure.worker.steps.thread_runner import ThreadRunner

from .conftest import OpenLedger, play, told, until, worker_on

MOOD: ContextVar[str] = ContextVar("MOOD", default="calm")

Tasks = list["asyncio.Task[Any] | None"]


def _on_the_loop(
    **steps: Callable[[], Awaitable[None]],
) -> tuple[TaskRunner, Callable[..., None], Tasks, list[AttemptEnded]]:
    """Step tasks; a function that begins steps, by their names; the tasks that they were run in; what is told."""
    trip = Saga("trip", input=int)
    tasks: Tasks = []
    heard: list[AttemptEnded] = []

    async def do(_: int, ctx: StepContext) -> None:
        tasks.append(asyncio.current_task())
        await steps[ctx.step]()

    for name in steps:
        trip.step(name=name, compensable=False)(do)
    state = SagaState("trip-1", input=trip.definition.write_input(1))
    execution = HeldSaga("trip-1", trip.definition, state, None)

    def dispatch(run: Attempt) -> Dispatch:
        context = context_of(trip.definition, state, run)
        return Dispatch(execution, trip.definition.step(run.step), run, context)

    step_tasks = TaskRunner(ThreadRunner(1), heard.append)

    def run(*names: str) -> None:
        step_tasks.run([dispatch(Attempt(name, FORWARD, 1, name)) for name in names])

    return step_tasks, run, tasks, heard


async def _pass_by() -> None:
    """Never waits."""


def test_steps_that_never_wait_share_a_task() -> None:
    """A hundred at once have one task."""

    async def scene() -> None:
        step_tasks, run, tasks, heard = _on_the_loop(pass_by=_pass_by)
        run(*["pass_by"] * 100)
        await step_tasks.wait()
        assert len(tasks) == len(heard) == 100
        assert len(set(tasks)) == 1
        assert len(step_tasks) == 0

    play(scene())


def test_one_that_waits_holds_up_nobody() -> None:
    """The others go on when it does; and from then on, steps like it begin at once in tasks of their own."""

    async def scene() -> None:
        free = asyncio.Event()
        step_tasks, run, tasks, heard = _on_the_loop(wait=partial(_wait_for, free), pass_by=_pass_by)

        run("wait", "pass_by", *["wait"] * 98)
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(tasks) == 100
        await until(lambda: len(step_tasks) == 99)  # those that wait are left

        run("wait", "wait")
        await asyncio.sleep(0)
        assert len(set(tasks[100:])) == 2
        free.set()
        await step_tasks.wait()
        assert len(heard) == len(tasks) == 102
        assert len(step_tasks) == 0

    play(scene())


async def _wait_for(event: asyncio.Event) -> None:
    await event.wait()


def test_what_a_step_leaves_in_its_task_is_not_found_by_others() -> None:
    """Not a context variable, and not that it cancelled itself without waiting."""
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
        step_tasks, run, tasks, _ = _on_the_loop(
            sulk=sulk, give_up=give_up, change_its_mind=change_its_mind, rest=rest, nap=rest
        )
        run("sulk", "sulk", "give_up", "rest", "change_its_mind", "nap")
        await step_tasks.wait()
        assert len(set(tasks)) == 6

    play(scene())

    assert sorted(moods) == ["calm"] * 4 + ["rested"] * 2


def test_a_task_in_which_a_step_waited_runs_nothing_else() -> None:
    """Not even what comes just as it goes on."""

    async def scene() -> None:
        free = asyncio.Event()
        step_tasks, run, tasks, _ = _on_the_loop(wait=partial(_wait_for, free), pass_by=_pass_by)
        run("wait")
        await until(lambda: len(tasks) == 1)
        free.set()
        run("pass_by")
        await step_tasks.wait()
        assert len(set(tasks)) == 2

    play(scene())


@pytest.mark.parametrize("waits", [False, True])
def test_when_they_are_cancelled_nothing_more_begins(waits: bool) -> None:
    """Neither what was to follow in the shared task, nor what one would have its own for, nor what comes afterwards."""

    async def scene() -> None:
        free = asyncio.Event()
        step_tasks, run, tasks, _ = _on_the_loop(wait=partial(_wait_for, free), pass_by=_pass_by)
        run("wait", "pass_by")
        if waits:
            await until(lambda: len(tasks) == 2)
            run("wait")
        step_tasks.cancel()
        run("wait", "pass_by")
        await step_tasks.wait()
        await asyncio.sleep(0)
        assert len(tasks) == (2 if waits else 0)
        assert len(step_tasks) == 0

    play(scene())


def test_a_step_that_cancels_its_own_task_has_failed(open_ledger: OpenLedger) -> None:
    """It is on record, and tried again: nobody else would ever tell the saga how it went."""
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

    assert told(ledger, "trip-1") == [
        "SagaStarted", "walk started", "walk failed", "walk started", "walk succeeded", "SagaCompleted",
    ]  # fmt: skip
