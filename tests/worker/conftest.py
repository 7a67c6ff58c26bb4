"""Ledgers and workers on both databases, and helpers to run them and to read what they recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from time import monotonic, sleep
from typing import Any, TypeVar

import pytest

from sagaledger.domain.event import Event
from sagaledger.domain.saga.events import Direction
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.context import HasContext
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.worker import Worker
from sagaledger.infrastructure.worker.engine import Engine
from sagaledger.infrastructure.worker.messages import Dispatch, EngineMessage

from ..prepared_ledgers import Create, create_ledger

T = TypeVar("T")

PATIENCE_SECONDS = 60.0
"""No test here takes as long; one that does waits for something that never happens."""

OpenLedger = Callable[[App], Ledger]


@pytest.fixture(scope="session")
def created_by() -> Create:
    """What creates ledgers with the views of sagas: no test here is about their creation."""
    return create_ledger


@pytest.fixture
def open_ledger(url: str) -> Iterator[OpenLedger]:
    """Opens ledgers on this test's database, as several processes would, and closes them at the end."""
    opened: list[Ledger] = []

    def open_(app: App) -> Ledger:
        opened.append(Ledger.open(url, app, create=True))
        return opened[-1]

    yield open_
    for ledger in opened:
        ledger.close()


def play(scene: Coroutine[Any, Any, T]) -> T:
    """Run a scene on an event loop; fails after `PATIENCE_SECONDS`."""

    async def limited() -> T:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await scene

    return asyncio.run(limited())


def worker_on(ledger: HasContext, **settings: Any) -> Worker:
    """Returns a worker that does not keep the views up."""
    return Worker(ledger, project=False, **settings)


def short_history(ledger: Ledger, saga_id: str) -> list[str]:
    """Returns a saga's own events, in short: `reserve started`, `reserve failed`, `SagaCompensated`."""
    return [in_short(recorded.event) for recorded in ledger.history(saga_id, participants=False)]


def in_short(recorded: Event) -> str:
    """Returns one event in short: what happened to which step, or its name."""
    words = {
        "StepStarted": "started",
        "StepSucceeded": "succeeded",
        "StepFailed": "failed",
        "CompensationStarted": "undoing",
        "StepCompensated": "undone",
        "CompensationFailed": "not undone",
        "InterventionRequired": "needs a person",
        "InterventionResolved": "resolved",
    }
    name = type(recorded).schema.name
    if name == "StepOutcomeUnknown":
        which = "unknown" if recorded.direction is Direction.FORWARD else "unknown whether undone"  # type: ignore[attr-defined]
        return f"{recorded.step} {which}"  # type: ignore[attr-defined]
    return f"{recorded.step} {words[name]}" if name in words else name  # type: ignore[attr-defined]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; the scene's time is the limit."""
    while not condition():  # noqa: ASYNC110 -- the condition is in a database
        await asyncio.sleep(0.005)


def drive(engine: Engine, until: Callable[[], bool], messages: Sequence[EngineMessage] = ()) -> list[Dispatch]:
    """Turn an engine until a condition holds or it dispatches attempts; returns those attempts."""
    dispatched: list[Dispatch] = []
    deadline = monotonic() + PATIENCE_SECONDS
    while True:
        dispatched += engine.turn(messages).dispatch
        messages = ()
        if until() or dispatched:
            return dispatched
        assert monotonic() < deadline, "waited too long"
        sleep(min(engine.seconds_to_wait(), 0.02))
