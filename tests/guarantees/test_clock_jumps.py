"""G15: a clock that jumps by an hour, forward or back, neither grants a lease nor fires a timer early."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from time import monotonic
from uuid import uuid4

import pytest

from sagaledger import App, Ledger, Saga, SagaState, Worker
from sagaledger.domain.saga.events import StepStarted
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall
from sagaledger.infrastructure.event_store.connect import open_backend

PATIENCE_SECONDS = 30.0
REST_SECONDS = 1.5
HOUR_SECONDS = 3600.0

Jump = Callable[[float], None]

restful = Saga("restful", input=int)
restful.sleep("rest", seconds=REST_SECONDS)


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Jump:
    """Sets the clock that the program sees ahead or back by some seconds."""
    ahead = 0.0
    tell_ns = time.time_ns

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=ahead)

    def set_(seconds: float) -> None:
        nonlocal ahead
        ahead = seconds

    monkeypatch.setattr(time, "time_ns", lambda: tell_ns() + int(ahead * 1e9))
    for name, module in list(sys.modules.items()):
        if name.startswith("sagaledger.") and getattr(module, "datetime", None) is datetime:
            monkeypatch.setattr(module, "datetime", Clock)
    return set_


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger.open(url, App(sagas=[restful]), create=True) as ledger:
        yield ledger


@pytest.mark.parametrize("jump_seconds", [HOUR_SECONDS, -HOUR_SECONDS])
def test_a_timer_fires_in_its_time(ledger: Ledger, jump: Jump, jump_seconds: float) -> None:
    """The clock jumps while a saga sleeps: it wakes neither before its time, nor an hour late."""

    async def scene() -> tuple[SagaState, float]:
        async with asyncio.timeout(PATIENCE_SECONDS), Worker(ledger, project=False) as worker:
            began = monotonic()
            saga_id = (await worker.start(restful, 1)).saga_id
            while not any(isinstance(r.event, StepStarted) for r in ledger.history(saga_id)):  # noqa: ASYNC110 -- the condition is in a database
                await asyncio.sleep(0.01)
            jump(jump_seconds)
            return await worker.outcome(saga_id), monotonic() - began

    state, seconds = asyncio.run(scene())

    assert state.status == "completed"
    assert seconds >= REST_SECONDS


@pytest.mark.parametrize("jump_seconds", [HOUR_SECONDS, -HOUR_SECONDS])
def test_a_machine_whose_clock_is_wrong_fires_no_timer_early(
    postgres_url: str, jump: Jump, jump_seconds: float
) -> None:
    """A worker whose machine is an hour off puts a saga to sleep: it wakes by the database's clock."""
    jump(jump_seconds)

    async def scene(ledger: Ledger) -> tuple[SagaState, float]:
        async with asyncio.timeout(PATIENCE_SECONDS), Worker(ledger, project=False) as worker:
            began = monotonic()
            saga_id = (await worker.start(restful, 1)).saga_id
            return await worker.outcome(saga_id), monotonic() - began

    with Ledger.open(postgres_url, App(sagas=[restful]), create=True) as ledger:
        state, seconds = asyncio.run(scene(ledger))
        [slept] = [r for r in ledger.history(state.saga_id) if isinstance(r.event, StepStarted)]

    assert state.status == "completed"
    assert seconds >= REST_SECONDS
    assert abs(slept.event.at - slept.recorded_at) < timedelta(minutes=1)


@pytest.mark.parametrize("jump_seconds", [HOUR_SECONDS, -HOUR_SECONDS])
def test_a_lease_is_not_granted_to_whoever_has_the_wrong_time(
    postgres_url: str, jump: Jump, jump_seconds: float
) -> None:
    """Another worker's clock jumps: it takes nothing over, and the holder goes on writing."""
    holder, other = open_backend(postgres_url, create=True), open_backend(postgres_url)
    epoch = holder.register(host="here", pid=1, lease_seconds=60)

    jump(jump_seconds)
    late = other.register(host="there", pid=2, lease_seconds=60)

    assert other.take_over() == []
    assert {row.worker_id for row in other.workers()} == {epoch.worker_id, late.worker_id}
    holder.renew(epoch, lease_seconds=60)
    holder.append(AppendCall(uuid4(), [Append([])], epoch))
    assert all(row.lease_until - datetime.now(UTC) < timedelta(minutes=2) for row in other.workers())
    holder.close()
    other.close()
