"""G7: every started saga ends, or shows as waiting, or needs a person; also when its queue entry is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from sagaledger import App, Ledger, Retry, Saga, StepContext, Worker
from sagaledger.infrastructure.event_store.event_row import StoredRow
from sagaledger.infrastructure.event_store.work_queue import QueueEntry
from sagaledger.infrastructure.worker.coordination.reconciler import Reconciler

from ..work_queue import put_entries, remove_all_entries

PATIENCE_SECONDS = 30.0

plain = Saga("plain", input=int)
parked = Saga("parked", input=int)
patient = Saga("patient", input=int)
endless = Saga("endless", input=int)


@plain.step(compensable=False)
def succeed(_value: int, _ctx: StepContext) -> None:
    """Succeed without an effect."""


@parked.step(pivot=True, retry=Retry(attempts=1))
def fail_at_the_pivot(_value: int, _ctx: StepContext) -> None:
    """Fail with an unknown effect past which there is no way back: a person has to decide."""
    raise OSError("no answer")


patient.sleep("rest", seconds=3600)
endless.wait_for("word")

stay = Saga("stay", input=int)
trip = Saga("trip", input=int)


@stay.step(pivot=True, retry=Retry(attempts=1))
def book(_value: int, _ctx: StepContext) -> None:
    """Fail with an unknown effect."""
    raise OSError("no answer")


@trip.sub_saga(stay, name="rest")
def input_of_stay(value: int, _ctx: StepContext) -> int:
    return value


@input_of_stay.compensation
def nothing(_value: int, _result: None, _ctx: StepContext) -> None:
    """There is nothing to undo."""


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger.open(url, App(sagas=[plain, parked, patient, endless, stay, trip]), create=True) as ledger:
        yield ledger


async def settle(ledger: Ledger) -> None:
    """Work until nothing is due."""
    async with asyncio.timeout(PATIENCE_SECONDS), Worker(ledger, project=False) as worker:
        await worker.idle()


def lose_the_due_work(ledger: Ledger) -> None:
    """Delete every queue entry, as a person might by hand."""
    remove_all_entries(ledger.backend, ledger.backend.entries())
    assert ledger.backend.entries() == []


def test_a_sweep_restores_exactly_what_wants_a_worker(ledger: Ledger) -> None:
    """Sagas that run or wait for a time are due again; those that ended or wait for a person stay as they are."""
    for saga in (plain, parked, patient, endless):
        ledger.start(saga, 1, key="before")
    asyncio.run(settle(ledger))
    ledger.start(plain, 2, key="after")
    lose_the_due_work(ledger)

    restored = Reconciler(ledger.context).sweep()

    assert sorted(restored) == ["patient-before", "plain-after"]
    assert sorted(change.saga_id for change in ledger.backend.entries()) == sorted(restored)
    assert Reconciler(ledger.context).sweep() == []


def test_a_saga_whose_own_saga_was_abandoned_is_restored(ledger: Ledger) -> None:
    """The entry that would have woken it is lost at that moment, and no one will write to it any more."""
    ledger.start(trip, 1, key="1")
    asyncio.run(settle(ledger))
    reconciler = Reconciler(ledger.context)
    lose_the_due_work(ledger)
    assert reconciler.sweep() == []
    ledger.intervene("stay-trip-1.rest", "abandon", actor="ann", reason="the hotel is gone")
    lose_the_due_work(ledger)

    assert reconciler.sweep() == ["trip-1"]
    assert Reconciler(ledger.context).sweep() == []
    asyncio.run(settle(ledger))
    assert ledger.state("trip-1").status == "compensated"


def test_a_saga_at_rest_that_is_written_to_is_looked_at_again(ledger: Ledger) -> None:
    """It waited for a signal; the signal came, and its queue entry was lost."""
    ledger.start(endless, 1, key="1")
    asyncio.run(settle(ledger))
    reconciler = Reconciler(ledger.context)
    assert reconciler.sweep() == []
    ledger.signal("endless-1", "word", actor="ann")
    lose_the_due_work(ledger)

    assert reconciler.sweep() == ["endless-1"]


def test_a_sweep_reads_what_is_new_and_remembers_what_is_open(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cost does not depend on the length of the log, or on how many sagas wait for a person."""
    for number in range(20):
        ledger.start(plain, number, key=str(number))
        ledger.start(endless, number, key=str(number))
    asyncio.run(settle(ledger))
    reconciler = Reconciler(ledger.context)
    reconciler.sweep()
    head = ledger.backend.head().position
    seen: list[StoredRow] = []
    for name in ("read", "streams", "stream"):
        monkeypatch.setattr(ledger.backend, name, _noted(getattr(ledger.backend, name), seen))

    assert reconciler.sweep() == []
    assert seen == []
    assert len(reconciler.open_sagas) == 20
    for number in range(20):
        ledger.cancel(f"endless-{number}", actor="ann", reason="no word")
    asyncio.run(settle(ledger))
    seen.clear()
    assert reconciler.sweep() == []
    assert min(row.position for row in seen) > head
    assert len(reconciler.open_sagas) == 0


def _noted(read: Callable[..., list[StoredRow]], seen: list[StoredRow]) -> Callable[..., list[StoredRow]]:
    def note(*arguments: Any, **options: Any) -> list[StoredRow]:
        rows = read(*arguments, **options)
        seen.extend(rows)
        return rows

    return note


def test_a_worker_sweeps_by_itself(ledger: Ledger) -> None:
    """Sagas whose queue entries are gone end once a worker runs."""
    started = [ledger.start(plain, number, key=str(number)).saga_id for number in range(20)]
    lose_the_due_work(ledger)

    async def scene() -> list[str]:
        async with asyncio.timeout(PATIENCE_SECONDS), Worker(ledger, project=False) as worker:
            return [str((await worker.outcome(saga_id)).status) for saga_id in started]

    assert asyncio.run(scene()) == ["completed"] * len(started)


def test_a_sweep_leaves_a_row_that_came_back_with_its_holder(ledger: Ledger) -> None:
    """An entry that looked lost and is held again stays with its holder."""
    saga_id = ledger.start(plain, 1, key="held").saga_id
    lose_the_due_work(ledger)
    epoch = ledger.backend.register(host="here", pid=1, lease_seconds=60)
    reconciler = Reconciler(ledger.context)
    row = QueueEntry(saga_id, "plain", 1, datetime.now(UTC), None)
    look = ledger.backend.entries

    def look_and_lose_the_race() -> list[QueueEntry]:
        seen = look()
        put_entries(ledger.backend, [row])
        ledger.backend.claim(epoch, definitions=[("plain", 1)], limit=1)
        return seen

    ledger.backend.entries = look_and_lose_the_race  # type: ignore[method-assign]
    reconciler.sweep()

    [found] = look()
    assert found.worker_id == epoch.worker_id
    ledger.backend.retire(epoch)
