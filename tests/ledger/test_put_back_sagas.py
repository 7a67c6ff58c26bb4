"""A saga that is due later for a reason of its own is not one that a worker could not read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from sagaledger.domain.errors import StepRejected
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState
from sagaledger.domain.saga.step import StepContext
from sagaledger.domain.saga.step_state import Progress
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.put_back_sagas import put_back_sagas, put_back_until
from sagaledger.infrastructure.worker import Worker

SLOWLY = Retry(attempts=5, backoff_seconds=20.0, jitter=0.0)


def _trip() -> Saga[int]:
    """Returns a saga that is refused, and whose compensation gets no answer."""
    saga = Saga("trip", input=int)

    @saga.step()
    async def book(_: int, __: StepContext) -> str:
        return "booked"

    @book.compensation(retry=SLOWLY)
    async def cancel(_: int, __: str | None, ___: StepContext) -> None:
        raise ConnectionError("no answer")

    @saga.step(compensable=False)
    async def refuse(_: int, __: StepContext) -> None:
        raise StepRejected("no")

    return saga


def _list() -> Saga[int]:
    """Returns a saga that is refused, and whose compensation of an item gets no answer."""
    saga = Saga("trip", input=int)

    @saga.for_each(items=lambda *_: [1, 2])
    async def book(item: int, _: StepContext) -> int:
        if item == 2:
            raise StepRejected("no")
        return item

    @book.compensation(retry=SLOWLY)
    async def cancel(_: int, __: int | None, ___: StepContext) -> None:
        raise ConnectionError("no answer")

    return saga


def _call() -> Saga[int]:
    """Returns a saga whose only step gets no answer."""
    saga = Saga("trip", input=int)

    @saga.step(compensable=False, retry=SLOWLY)
    async def call(_: int, __: StepContext) -> None:
        raise ConnectionError("no answer")

    return saga


def _nap() -> Saga[int]:
    """Returns a saga that sleeps."""
    saga = Saga("trip", input=int)
    saga.sleep("nap", seconds=20.0)
    return saga


def _is_retried(state: SagaState) -> bool:
    return any(
        progress.progress is Progress.RETRYING
        for _, step in (*state.steps.items(), *state.open_items)
        for progress in (step.forward, step.compensation)
    )


def _is_asleep(state: SagaState) -> bool:
    return any(step.forward.progress is Progress.WAITING for step in state.steps.values())


@pytest.mark.parametrize(
    ("make", "came_to_it"),
    [(_trip, _is_retried), (_list, _is_retried), (_call, _is_retried), (_nap, _is_asleep)],
    ids=["a compensation to be retried", "that of an item", "a step to be retried", "a timer"],
)
def test_a_saga_that_waits_for_its_time_was_not_put_back(
    url: str, make: Callable[[], Saga[int]], came_to_it: Callable[[SagaState], bool]
) -> None:
    """With its definition and without, after its worker has gone."""
    saga = make()

    async def scene(ledger: Ledger) -> None:
        async with Worker(ledger, project=False) as worker, asyncio.timeout(30):
            await worker.start(saga, 1, key="1")
            while not came_to_it(await asyncio.to_thread(ledger.state, "trip-1")):
                await asyncio.to_thread(ledger.backend.wait_beyond, ledger.backend.head().position, 0.05)

    with Ledger.open(url, App(sagas=[saga]), create=True) as ledger:
        asyncio.run(scene(ledger))
        [entry] = ledger.backend.entries()
        assert entry.worker_id is None
        assert entry.due_at is not None
        assert timedelta(0) < entry.due_at - datetime.now(UTC) < timedelta(seconds=30)
    for app in (App(sagas=[saga]), App()):
        with Ledger.open(url, app) as ledger:
            assert put_back_sagas(ledger.context) == []
            assert put_back_until(ledger.context, ledger.state("trip-1")) is None
