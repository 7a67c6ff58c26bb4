"""Sagas that need a person, and sagas that are cancelled, from outside the worker that runs them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sagaledger.domain.errors import StepRejected
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState, Status
from sagaledger.domain.saga.step import StepContext
from sagaledger.infrastructure.errors import WrongState
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.worker import Worker
from sagaledger.infrastructure.worker.group_commit import transition

from .conftest import OpenLedger, play, short_history, until, worker_on

ONCE = Retry(attempts=1)


class Hands:
    """Which of the saga's steps succeed at present."""

    def __init__(self) -> None:
        self.can_undo = False
        self.can_charge = False
        self.went_on = asyncio.Event()
        self.began = 0


def _stubborn(hands: Hands) -> Saga[int]:
    """Returns a saga that compensates after its last step, and whose first step cannot always be undone."""
    saga = Saga("stubborn", input=int)

    @saga.step(compensable=False)
    async def look(_: int, __: StepContext) -> None:
        """Nothing to undo."""

    @saga.step()
    async def book(_: int, __: StepContext) -> str:
        return "booked"

    @book.compensation(retry=Retry(attempts=2, backoff_seconds=0.0))
    async def cancel(_: int, __: str | None, ___: StepContext) -> None:
        if not hands.can_undo:
            raise ConnectionError("no answer")

    @saga.step(compensable=False)
    async def refuse(_: int, __: StepContext) -> None:
        raise StepRejected("no")

    return saga


def _paid(hands: Hands) -> Saga[int]:
    """Returns a saga with a pivot that does not always succeed, and a step after it."""
    saga = Saga("paid", input=int)

    @saga.step(compensable=False)
    async def look(_: int, __: StepContext) -> None:
        """Nothing to undo."""

    @saga.step(pivot=True, retry=ONCE)
    async def charge(_: int, __: StepContext) -> str:
        if not hands.can_charge:
            raise ConnectionError("no answer")
        return "receipt"

    @saga.step()
    async def thank(_: int, ctx: StepContext) -> str:
        return f"thanks for {ctx.result('charge')}"

    return saga


def _slow(hands: Hands, *, backoff_seconds: float = 0.0) -> Saga[int]:
    """Returns a saga whose second step waits to be released, or for its next attempt."""
    saga = Saga("slow", input=int)

    @saga.step()
    async def book(_: int, __: StepContext) -> None:
        """At once."""

    @book.compensation
    async def cancel(_: int, __: None, ___: StepContext) -> None:
        """At once."""

    @saga.step(retry=Retry(attempts=5, backoff_seconds=backoff_seconds, jitter=0.0), compensable=False)
    async def wait(_: int, __: StepContext) -> None:
        hands.began += 1
        if backoff_seconds:
            raise ConnectionError("not now")
        await hands.went_on.wait()

    return saga


async def _begin(worker: Worker, saga: Saga[int]) -> str:
    return (await worker.start(saga, 1, key="1")).saga_id


async def _outside(operation: Any, *given: Any, **named: Any) -> Any:
    return await asyncio.to_thread(operation, *given, **named)


def test_a_compensation_that_gives_up_waits_for_a_person_who_retries(open_ledger: OpenLedger) -> None:
    """With its attempts spent the saga needs a person; a retry compensates it with fresh attempts."""
    hands = Hands()
    saga = _stubborn(hands)
    ledger, elsewhere = open_ledger(App(sagas=[saga])), open_ledger(App(sagas=[saga]))

    async def scene() -> list[SagaState]:
        async with worker_on(ledger) as worker:
            saga_id = await _begin(worker, saga)
            seen = [await worker.outcome(saga_id)]
            for able in (False, True):
                hands.can_undo = able
                await _outside(elsewhere.intervene, saga_id, "retry", actor="ann", reason="called them")
                seen.append(await worker.outcome(saga_id))
            return seen

    states = play(scene())
    assert [state.status for state in states] == [Status.NEEDS_INTERVENTION] * 2 + [Status.COMPENSATED]
    assert short_history(ledger, "stubborn-1").count("book not undone") == 4
    assert ledger.backend.entries() == []


@pytest.mark.parametrize(
    ("action", "status", "last"),
    [
        ("skip", Status.COMPENSATED, "SagaCompensated"),
        ("resolve", Status.COMPENSATED, "SagaCompensated"),
        ("abandon", Status.ABANDONED, "book resolved"),
    ],
)
def test_a_person_goes_on_without_what_could_not_be_undone(
    open_ledger: OpenLedger, action: str, status: Status, last: str
) -> None:
    """Skipped, or done by hand, the saga ends compensated; abandoned, it ends as it stands."""
    saga = _stubborn(Hands())
    ledger = open_ledger(App(sagas=[saga]))

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            saga_id = await _begin(worker, saga)
            await worker.outcome(saga_id)
            await _outside(ledger.intervene, saga_id, action, actor="ann", reason="did it by hand")
            await worker.idle()
            return await worker.outcome(saga_id)

    assert play(scene()).status is status
    assert short_history(ledger, "stubborn-1")[-1] == last


@pytest.mark.parametrize("action", ["retry", "resolve", "skip", "abandon"])
def test_a_pivot_in_doubt_waits_for_a_person(open_ledger: OpenLedger, action: str) -> None:
    """It is unknown whether the money was taken: whatever the person decides, no earlier step is undone."""
    hands = Hands()
    saga = _paid(hands)
    ledger = open_ledger(App(sagas=[saga]))

    async def scene() -> tuple[SagaState, SagaState]:
        async with worker_on(ledger) as worker:
            saga_id = await _begin(worker, saga)
            parked = await worker.outcome(saga_id)
            hands.can_charge = True
            given = {"result": "by hand"} if action == "resolve" else {}
            await _outside(ledger.intervene, saga_id, action, actor="ann", reason="asked the bank", **given)
            return parked, await worker.outcome(saga_id)

    parked, state = play(scene())
    thanks = {"retry": "receipt", "resolve": "by hand", "skip": None}
    assert [(i.step, parked.status) for i in parked.interventions] == [("charge", Status.NEEDS_INTERVENTION)]
    assert state.status is (Status.ABANDONED if action == "abandon" else Status.COMPLETED)
    assert action == "abandon" or bytes(state.result or b"") == f'"thanks for {thanks[action]}"'.encode()
    assert action == "abandon" or state.past_pivot


def test_a_running_saga_is_cancelled_from_elsewhere(open_ledger: OpenLedger) -> None:
    """The running step finishes, its outcome is recorded after the request, and then all steps are undone."""
    hands = Hands()
    saga = _slow(hands)
    ledger, elsewhere = open_ledger(App(sagas=[saga])), open_ledger(App(sagas=[saga]))

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            saga_id = await _begin(worker, saga)
            await until(lambda: hands.began > 0)
            await _outside(elsewhere.cancel, saga_id, actor="ann", reason="changed her mind")
            hands.went_on.set()
            state = await worker.outcome(saga_id)
            with pytest.raises(WrongState):
                await _outside(elsewhere.cancel, saga_id, actor="ann", reason="again")
            return state

    state = play(scene())
    assert (state.status, state.cause) == (Status.COMPENSATED, "cancelled")
    assert short_history(ledger, "slow-1")[4:] == [
        "CancelRequested", "wait succeeded", "book undoing", "book undone", "SagaCompensated",
    ]  # fmt: skip


@pytest.mark.parametrize("backoff_seconds", [2.0, 600.0])
def test_a_waiting_saga_is_cancelled_at_once(open_ledger: OpenLedger, backoff_seconds: float) -> None:
    """Whether the worker holds it or released it for a long wait, it does not wait for the next attempt."""
    hands = Hands()
    saga = _slow(hands, backoff_seconds=backoff_seconds)
    ledger, elsewhere = open_ledger(App(sagas=[saga])), open_ledger(App(sagas=[saga]))

    async def scene() -> tuple[list[str | None], SagaState]:
        async with worker_on(ledger) as worker:
            saga_id = await _begin(worker, saga)
            await until(lambda: short_history(elsewhere, saga_id)[-1] == "wait failed")
            holders = [row.worker_id for row in elsewhere.backend.entries()]
            await _outside(elsewhere.cancel, saga_id, actor="ann", reason="too slow")
            return holders, await worker.outcome(saga_id)

    (holder,), state = play(scene())
    assert (holder is None) == (backoff_seconds > 5)
    assert state.status is Status.COMPENSATED
    assert hands.began == 1


def test_a_saga_that_waits_long_is_taken_up_in_time(open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Released to the work queue it costs no memory, and the first worker that looks resumes it when it is due."""
    monkeypatch.setattr(transition, "HOLD_SECONDS", 0.1)
    hands = Hands()
    saga = _slow(hands, backoff_seconds=0.5)
    ledger = open_ledger(App(sagas=[saga]))

    async def scene() -> int:
        async with worker_on(ledger) as worker:
            saga_id = await _begin(worker, saga)
            await until(lambda: hands.began == 1)
            await worker.idle()  # the worker holds nothing, though the saga has not ended
            await until(lambda: hands.began == 2)
            return len(short_history(ledger, saga_id))

    assert play(scene()) >= 6


def test_a_deadline_turns_a_saga_back(open_ledger: OpenLedger) -> None:
    """When its deadline passes during a wait for another attempt, the saga compensates."""
    hands = Hands()
    saga = Saga("late", input=int, deadline=0.3)

    @saga.step()
    async def book(_: int, __: StepContext) -> None:
        """At once."""

    @book.compensation
    async def cancel(_: int, __: None, ___: StepContext) -> None:
        hands.began += 1

    @saga.step(retry=Retry(attempts=50, backoff_seconds=3.0), compensable=False)
    async def fail(_: int, __: StepContext) -> None:
        raise ConnectionError("not now")

    ledger = open_ledger(App(sagas=[saga]))

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            return await worker.outcome(await _begin(worker, saga))

    state = play(scene())
    assert (state.status, state.cause, hands.began) == (Status.COMPENSATED, "deadline exceeded", 1)


def test_a_person_may_have_to_decide_on_two_steps_at_once(open_ledger: OpenLedger) -> None:
    """Of two compensations that failed each needs its own decision, which must name it."""
    saga = Saga("twins", input=int)

    for name in ("left", "right"):

        async def book(_: int, __: StepContext) -> None:
            """At once."""

        async def cancel(_: int, __: None, ___: StepContext) -> None:
            raise ConnectionError("no answer")

        saga.step(name=name, after=[])(book).compensation(cancel, retry=ONCE)

    @saga.step(after=["left", "right"], compensable=False)
    async def refuse(_: int, __: StepContext) -> None:
        raise StepRejected("no")

    ledger = open_ledger(App(sagas=[saga]))

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            saga_id = await _begin(worker, saga)
            await worker.outcome(saga_id)
            await until(lambda: _gave_up(ledger, saga_id) == 2)
            for _ in range(2):
                (first, *_) = (await _outside(ledger.state, saga_id)).interventions
                await _outside(ledger.intervene, saga_id, "skip", actor="ann", reason="by hand", step=first.step)
                await worker.idle()
            return await worker.outcome(saga_id)

    assert play(scene()).status is Status.COMPENSATED


def _gave_up(ledger: Ledger, saga_id: str) -> int:
    return sum("not undone" in recorded for recorded in short_history(ledger, saga_id))
