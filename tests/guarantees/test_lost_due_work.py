"""G7: every started saga ends, or shows as waiting, or needs a person; also when its place in the due work is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from sagaledger import App, Ledger, Retry, Saga, StepContext, Worker
from sagaledger.infrastructure.log.port import DueChange
from sagaledger.infrastructure.worker.sweeper import Sweeper

PATIENCE_SECONDS = 30.0

plain = Saga("plain", input=int)
parked = Saga("parked", input=int)
patient = Saga("patient", input=int)
endless = Saga("endless", input=int)


@plain.step(compensable=False)
def succeed(_value: int, _ctx: StepContext) -> None:
    """Do nothing, well."""


@parked.step(pivot=True, retry=Retry(attempts=1))
def fail_at_the_pivot(_value: int, _ctx: StepContext) -> None:
    """Nobody knows whether there is a way back: a person has to decide."""
    raise OSError("no answer")


patient.sleep("rest", seconds=3600)
endless.wait_for("word")


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger.open(url, App(sagas=[plain, parked, patient, endless]), create=True) as ledger:
        yield ledger


async def settle(ledger: Ledger) -> None:
    """Work until nothing is due."""
    async with asyncio.timeout(PATIENCE_SECONDS), Worker(ledger, project=False) as worker:
        await worker.idle()


def lose_the_due_work(ledger: Ledger) -> None:
    """Delete every row, as somebody might by hand."""
    ledger.backend.put_due([change._replace(due_at=None) for change in ledger.backend.due()])
    assert ledger.backend.due() == []


def test_a_sweep_restores_exactly_what_wants_a_worker(ledger: Ledger) -> None:
    """Those that run or wait for a time are due again; those that ended, or wait for somebody, are left in peace."""
    for saga in (plain, parked, patient, endless):
        ledger.start(saga, 1, key="before")
    asyncio.run(settle(ledger))
    ledger.start(plain, 2, key="after")
    lose_the_due_work(ledger)

    restored = Sweeper(ledger).sweep()

    assert sorted(restored) == ["patient-before", "plain-after"]
    assert sorted(change.saga_id for change in ledger.backend.due()) == sorted(restored)
    assert Sweeper(ledger).sweep() == []


def test_a_worker_sweeps_by_itself(ledger: Ledger) -> None:
    """Sagas whose due rows are gone come to their end once a worker begins."""
    started = [ledger.start(plain, number, key=str(number)).saga_id for number in range(20)]
    lose_the_due_work(ledger)

    async def scene() -> list[str]:
        async with asyncio.timeout(PATIENCE_SECONDS), Worker(ledger, project=False) as worker:
            return [str((await worker.outcome(saga_id)).status) for saga_id in started]

    assert asyncio.run(scene()) == ["completed"] * len(started)


def test_a_sweep_leaves_a_row_that_came_back_with_its_holder(ledger: Ledger) -> None:
    """What looked lost and is held again meanwhile stays where it is: nobody takes a saga from its worker."""
    saga_id = ledger.start(plain, 1, key="held").saga_id
    lose_the_due_work(ledger)
    epoch = ledger.backend.register(host="here", pid=1, lease_seconds=60)
    sweeper = Sweeper(ledger)
    row = DueChange(saga_id, "plain", 1, datetime.now(UTC), None)
    look = ledger.backend.due

    def look_and_lose_the_race() -> list[DueChange]:
        seen = look()
        ledger.backend.put_due([row])
        ledger.backend.claim(epoch, definitions=[("plain", 1)], limit=1)
        return seen

    ledger.backend.due = look_and_lose_the_race  # type: ignore[method-assign]
    sweeper.sweep()

    [found] = look()
    assert found.worker_id == epoch.worker_id
    ledger.backend.retire(epoch)
