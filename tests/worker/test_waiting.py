"""Steps that wait durably: for a time, or for a signal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState, Status
from sagaledger.domain.saga.step import StepContext
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.worker.group_commit import transition

from .conftest import OpenLedger, play, short_history, until, worker_on


def _approved(*, timeout: float | None = None) -> Saga[int]:
    """Returns a saga that undoes its first step unless a person approves."""
    saga = Saga("approved", input=int)

    @saga.step()
    async def book(_: int, __: StepContext) -> None:
        """At once."""

    @book.compensation
    async def cancel(_: int, __: None, ___: StepContext) -> None:
        """At once."""

    saga.wait_for("approval", timeout=timeout)

    @saga.step(compensable=False)
    async def thank(_: int, ctx: StepContext) -> Any:
        return ctx.result("approval")

    return saga


@pytest.mark.parametrize("hold_seconds", [0.0, 5.0])
def test_a_step_sleeps_through_a_restart(
    open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch, hold_seconds: float
) -> None:
    """The time passes while no worker runs, whether the saga was held or released; it wakes once."""
    monkeypatch.setattr(transition, "HOLD_SECONDS", hold_seconds)
    saga = Saga("sleeper", input=int)
    saga.sleep("nap", seconds=0.4)
    saga.step(name="wake", compensable=False)(lambda _, __: "awake")
    ledger = open_ledger(App(sagas=[saga]))

    async def falls_asleep() -> None:
        async with worker_on(ledger) as worker:
            await worker.start(saga, 1, key="1")

    async def wakes() -> SagaState:
        async with worker_on(ledger) as worker:
            return await worker.outcome("sleeper-1")

    play(falls_asleep())
    state = play(wakes())
    events = ledger.history("sleeper-1")
    assert (state.status, bytes(state.result or b"")) == (Status.COMPLETED, b'"awake"')
    assert short_history(ledger, "sleeper-1")[1:4] == ["nap started", "TimerFired", "nap succeeded"]
    assert (events[2].event.at - events[1].event.at).total_seconds() >= 0.4


@pytest.mark.parametrize(("refused", "status"), [(False, Status.COMPLETED), (True, Status.COMPENSATED)])
def test_someone_elsewhere_says_yes_or_no(open_ledger: OpenLedger, refused: bool, status: Status) -> None:
    """A saga that waits without limit is held by no worker until the signal wakes it."""
    saga = _approved()
    ledger, elsewhere = open_ledger(App(sagas=[saga])), open_ledger(App(sagas=[saga]))

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            await worker.start(saga, 1, key="1")
            await until(lambda: short_history(elsewhere, "approved-1")[-1] == "approval started")
            await worker.idle()
            await asyncio.to_thread(
                elsewhere.signal, "approved-1", "approval", {"by": "ann"}, actor="ann", reason="known", refused=refused
            )
            return await worker.outcome("approved-1")

    state = play(scene())
    assert state.status is status
    assert refused or bytes(state.result or b"") == b'{"by":"ann"}'


def test_a_signal_that_comes_early_is_kept(open_ledger: OpenLedger) -> None:
    """A signal before the step waits counts once it does."""
    saga = _approved()
    ledger = open_ledger(App(sagas=[saga]))
    ledger.start(saga, 1, key="1")
    ledger.signal("approved-1", "approval", 7, actor="ann")

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            return await worker.outcome("approved-1")

    assert bytes(play(scene()).result or b"") == b"7"


def test_nobody_answers_in_time(open_ledger: OpenLedger) -> None:
    """The step fails at its timeout, and earlier steps are undone."""
    saga = _approved(timeout=0.1)
    ledger = open_ledger(App(sagas=[saga]))

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            return await worker.outcome((await worker.start(saga, 1, key="1")).saga_id)

    state = play(scene())
    assert (state.status, state.cause) == (Status.COMPENSATED, "step approval failed (SignalTimeout)")


def test_a_waiting_saga_can_be_cancelled(open_ledger: OpenLedger) -> None:
    """It stops waiting for the signal."""
    saga = _approved()
    ledger = open_ledger(App(sagas=[saga]))

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            await worker.start(saga, 1, key="1")
            await until(lambda: short_history(ledger, "approved-1")[-1] == "approval started")
            await asyncio.to_thread(ledger.cancel, "approved-1", actor="ann", reason="no")
            return await worker.outcome("approved-1")

    assert play(scene()).status is Status.COMPENSATED
