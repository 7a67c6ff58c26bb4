"""Sagas that wait for long cost a worker no memory, however many they are."""

from __future__ import annotations

import asyncio
import gc
import os
from datetime import UTC, datetime, timedelta

from sagaledger import App, Ledger, Saga, SagaState, Status
from sagaledger.infrastructure.worker.held_sagas import HeldSaga

from .conftest import OpenLedger, play, until, worker_on

WAITING_SAGAS = int(os.environ.get("SAGALEDGER_WAITING_SAGAS", "5000"))
"""Set by the environment; 100,000 take a few minutes."""
AT_ONCE = 1_000


def _patient() -> Saga[int]:
    saga = Saga("patient", input=int)
    saga.wait_for("word", timeout=3600)
    return saga


def _in_memory() -> int:
    """Returns how many of the crowd are in this process's memory."""
    gc.collect()
    held = (found for found in gc.get_objects() if isinstance(found, HeldSaga))
    return sum(saga.saga_id.startswith("patient-") for saga in held)


async def _begin(ledger: Ledger) -> None:
    """Start the crowd, some at a time, until all wait."""
    async with asyncio.timeout(900), worker_on(ledger) as worker:
        for first in range(0, WAITING_SAGAS, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, WAITING_SAGAS))
            await asyncio.gather(*(worker.start("patient", number, key=str(number)) for number in numbers))
        await worker.idle()
        [row] = ledger.backend.workers()
        assert (row.sagas, _in_memory()) == (0, 0)


def test_a_crowd_that_waits_is_in_nobodys_memory(open_ledger: OpenLedger) -> None:
    """Neither the worker that started them nor the next one keeps them; each goes on when its signal comes."""
    ledger = open_ledger(App(sagas=[_patient()]))
    asyncio.run(_begin(ledger))
    last = f"patient-{WAITING_SAGAS - 1}"

    async def scene() -> SagaState:
        async with asyncio.timeout(60), worker_on(ledger) as worker:
            await worker.idle()
            assert _in_memory() == 0
            ledger.approve(last, "word", "go", actor="ann", reason="it is time")
            return await worker.outcome(last)

    state = asyncio.run(scene())

    assert (state.status, bytes(state.result or b"")) == (Status.COMPLETED, b'"go"')
    assert len(ledger.backend.entries()) == WAITING_SAGAS - 1


def test_a_saga_for_later_begins_at_its_time(open_ledger: OpenLedger) -> None:
    """Started through a ledger or a worker, it waits unheld until then, across a restart."""
    saga = Saga("later", input=int)
    saga.step(name="ring", compensable=False)(lambda _, __: "rung")
    ledger = open_ledger(App(sagas=[saga]))
    begins_at = datetime.now(UTC) + timedelta(seconds=1.5)
    ledger.start(saga, 1, key="1", begins_at=begins_at)

    async def scheduled() -> None:
        async with worker_on(ledger) as worker:
            await worker.start(saga, 2, key="2", begins_at=begins_at)

    async def begins() -> list[SagaState]:
        async with worker_on(ledger) as worker:
            return [await worker.outcome(f"later-{number}") for number in (1, 2)]

    play(scheduled())
    assert {ledger.state(f"later-{number}").status for number in (1, 2)} == {Status.WAITING}

    for state in play(begins()):
        assert state.status is Status.COMPLETED
        assert ledger.history(state.saga_id)[1].event.at >= begins_at


def test_a_saga_for_later_can_be_called_off_before(open_ledger: OpenLedger) -> None:
    """It never begins."""
    saga = Saga("later", input=int)
    saga.step(name="ring", compensable=False)(lambda _, __: "rung")
    ledger = open_ledger(App(sagas=[saga]))
    ledger.start(saga, 1, key="1", begins_at=datetime.now(UTC) + timedelta(days=1))
    ledger.cancel("later-1", actor="ann", reason="not needed")

    async def scene() -> None:
        async with worker_on(ledger):
            await until(lambda: ledger.state("later-1").end is not None)

    play(scene())
    state = ledger.state("later-1")
    assert (state.status, state.steps) == (Status.COMPENSATED, {})


def test_a_worker_with_room_for_very_many_begins_them(open_ledger: OpenLedger) -> None:
    """The part of the room that starts may not use is a share, not a number that could exceed what one batch admits."""
    saga = Saga("soon", input=int)
    saga.step(name="call", compensable=False)(lambda _, __: "done")
    ledger = open_ledger(App(sagas=[saga]))

    async def scene() -> SagaState:
        async with worker_on(ledger, concurrency=20_000) as worker:
            return await worker.outcome((await worker.start(saga, 1, key="1")).saga_id)

    assert play(scene()).status is Status.COMPLETED
