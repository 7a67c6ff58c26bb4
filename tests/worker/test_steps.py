"""How a worker runs the steps that call out: order, retries, timeouts, compensation."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, ClassVar

import msgspec
import pytest

from sagaledger.domain.errors import AttemptTimedOut, StepRejected
from sagaledger.domain.saga.event_parts import Failure
from sagaledger.domain.saga.events import Effect, StepFailed
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState, Status
from sagaledger.domain.saga.step import StepContext
from sagaledger.domain.saga.step_state import StepProgress
from sagaledger.infrastructure.event_store.event_row import STATE_BYTES_MAX
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.ledger import Ledger

from .conftest import OpenLedger, play, short_history, worker_on

AT_ONCE = Retry(attempts=3, backoff_seconds=0.0)
ONCE = Retry(attempts=1)


def _run(open_ledger: OpenLedger, saga: Saga[Any], value: Any = 1) -> tuple[SagaState, list[str], list[Any]]:
    """Run one saga to its end; returns its state, its events in short, and its events."""
    ledger = open_ledger(App(sagas=[saga]))

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            return await worker.outcome((await worker.start(saga, value, key="1")).saga_id)

    state = play(scene())
    return state, short_history(ledger, state.saga_id), [r.event for r in ledger.history(state.saga_id)]


def test_steps_run_in_order_and_see_earlier_results(open_ledger: OpenLedger) -> None:
    """Coroutines and plain functions alike; the saga's result is that of its last step."""
    trip = Saga("trip", input=int)

    @trip.step(compensable=False)
    async def double(value: int, _: StepContext) -> int:
        return 2 * value

    @trip.step(compensable=False)
    def add_one(_: int, ctx: StepContext) -> int:
        return int(ctx.result(double)) + 1

    state, events, _ = _run(open_ledger, trip, 20)

    assert (state.status, bytes(state.result or b"")) == (Status.COMPLETED, b"41")
    assert events == [
        "SagaStarted", "double started", "double succeeded", "add_one started", "add_one succeeded", "SagaCompleted",
    ]  # fmt: skip


def test_steps_after_the_same_one_run_at_the_same_time(open_ledger: OpenLedger) -> None:
    """Each of three parallel steps, on the loop and on threads, waits until the others have begun."""
    trip = Saga("trip", input=int)
    meeting = threading.Barrier(2, timeout=10)
    arrived = asyncio.Event()

    @trip.step(compensable=False)
    async def pack(_: int, __: StepContext) -> None:
        """Before the others."""

    @trip.step(after=[pack], compensable=False)
    def by_train(_: int, __: StepContext) -> None:
        meeting.wait()

    @trip.step(after=[pack], compensable=False)
    def by_car(_: int, __: StepContext) -> None:
        meeting.wait()

    @trip.step(after=[pack], compensable=False)
    async def on_foot(_: int, __: StepContext) -> None:
        arrived.set()

    @trip.step(after=[by_train, by_car, on_foot], compensable=False)
    async def meet(_: int, __: StepContext) -> None:
        await arrived.wait()

    state, events, _ = _run(open_ledger, trip)

    assert state.status is Status.COMPLETED
    assert events[3:6] == ["by_train started", "by_car started", "on_foot started"]


def test_a_failing_step_is_tried_again_with_the_same_key(open_ledger: OpenLedger) -> None:
    """Each attempt is recorded, and all of them carry one idempotency key."""
    trip = Saga("trip", input=int)
    keys: list[str] = []

    @trip.step(retry=AT_ONCE, compensable=False)
    async def book(_: int, ctx: StepContext) -> int:
        keys.append(ctx.key)
        if ctx.attempt < 3:
            raise ConnectionError("not now")
        return ctx.attempt

    state, events, _ = _run(open_ledger, trip)

    assert state.status is Status.COMPLETED
    assert events[1:-1] == ["book started", "book failed"] * 2 + ["book started", "book succeeded"]
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_refusal_undoes_what_happened_latest_first(open_ledger: OpenLedger) -> None:
    """The step that refused did nothing and is not undone; those before it are, with their results."""
    trip = Saga("trip", input=int)
    undone: list[Any] = []

    for name in ("flight", "hotel", "car"):

        async def book(_: int, ctx: StepContext) -> str:
            if ctx.step == "car":
                raise StepRejected("no cars")
            return f"{ctx.step} booked"

        async def cancel(_: int, result: str | None, __: StepContext) -> None:
            undone.append(result)

        trip.step(name=name)(book).compensation(cancel)

    state, events, _ = _run(open_ledger, trip)

    assert (state.status, state.cause) == (Status.COMPENSATED, "step car failed (StepRejected)")
    assert undone == ["hotel booked", "flight booked"]
    assert events[-6:-1] == ["car failed", "hotel undoing", "hotel undone", "flight undoing", "flight undone"]


def test_a_step_that_may_have_happened_is_undone_without_its_result(open_ledger: OpenLedger) -> None:
    """An exhausted error proves nothing: the compensation is called with None."""
    trip = Saga("trip", input=int)
    undone: list[Any] = []

    @trip.step(retry=Retry(attempts=2, backoff_seconds=0.0))
    async def book(_: int, __: StepContext) -> str:
        raise ConnectionResetError("no answer")

    @book.compensation
    async def cancel(_: int, result: str | None, __: StepContext) -> None:
        undone.append(result)

    state, events, _ = _run(open_ledger, trip)

    assert state.status is Status.COMPENSATED
    assert undone == [None]
    assert events.count("book failed") == 2


@pytest.mark.parametrize("style", ["coroutine", "function"])
def test_an_attempt_that_takes_too_long_has_failed(open_ledger: OpenLedger, style: str) -> None:
    """The late end of a plain function, on its thread, has no effect."""
    trip = Saga("trip", input=int)
    let_go = threading.Event()

    if style == "coroutine":

        @trip.step(timeout=0.05, retry=ONCE, compensable=False)
        async def hang(_: int, __: StepContext) -> str:
            await asyncio.Event().wait()
            return "late"
    else:

        @trip.step(timeout=0.05, retry=ONCE, compensable=False)
        def hang(_: int, __: StepContext) -> str:
            let_go.wait(10)
            return "late"

    ledger = open_ledger(App(sagas=[trip]))

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            state = await worker.outcome((await worker.start(trip, 1, key="1")).saga_id)
            let_go.set()
            assert (await worker.outcome((await worker.start(trip, 2, key="2")).saga_id)).end is not None
            return state

    state = play(scene())
    events = ledger.history(state.saga_id)
    assert state.status is Status.COMPENSATED
    assert [r.event.error for r in events if isinstance(r.event, StepFailed)] == [
        Failure("AttemptTimedOut", "no outcome in 0.05 s")
    ]
    assert events[-1].version == state.version


@pytest.mark.parametrize("style", ["coroutine", "function"])
@pytest.mark.parametrize("message", ["", "no outcome in 30 s"])
def test_a_timeout_of_the_library_is_not_the_steps(sqlite_url: str, style: str, message: str) -> None:
    """Whatever its message is: the type that is recorded tells the two apart, and has a policy of its own."""
    trip = Saga("trip", input=int)
    policies = {TimeoutError: Retry(attempts=2, backoff_seconds=0.0), AttemptTimedOut: ONCE}

    async def call(_: int, __: StepContext) -> None:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            raise TimeoutError(*([message] if message else [])) from None

    def call_and_wait(value: int, ctx: StepContext) -> None:
        asyncio.run(call(value, ctx))

    trip.step(name="book", timeout=30, retry=policies, compensable=False)(
        call if style == "coroutine" else call_and_wait
    )
    with Ledger.open(sqlite_url, App(sagas=[trip]), create=True) as ledger:

        async def scene() -> None:
            async with worker_on(ledger) as worker:
                await worker.outcome((await worker.start(trip, 1, key="1")).saga_id)

        play(scene())
        errors = [r.event.error for r in ledger.history("trip-1") if isinstance(r.event, StepFailed)]

    assert errors == [Failure("TimeoutError", message)] * 2


def test_hung_functions_leave_places_for_coroutines_and_the_worker_closes(open_ledger: OpenLedger) -> None:
    """With every thread hung other sagas go on, a step that gets no thread is not called, and the worker closes."""
    hung = Saga("hung", input=int)
    quick = Saga("quick", input=int)
    begun = threading.Semaphore(0)

    @hung.step(timeout=0.2, retry=ONCE, compensable=False)
    def hang(_: int, __: StepContext) -> None:
        begun.release()
        threading.Event().wait(20)

    @quick.step(compensable=False)
    async def hurry(_: int, __: StepContext) -> None:
        """At once."""

    ledger = open_ledger(App(sagas=[hung, quick]))

    async def scene() -> list[StepProgress]:
        async with worker_on(ledger, threads=2, drain_seconds=0.1) as worker:
            ids = [(await worker.start(hung, n, key=str(n))).saga_id for n in range(3)]
            ended = [asyncio.ensure_future(worker.outcome(saga_id)) for saga_id in ids]
            assert (await worker.outcome((await worker.start(quick, 1)).saga_id)).status is Status.COMPLETED
            return [(await future).steps["hang"].forward for future in ended]

    hangs = play(scene())
    assert sorted(hang.error.type for hang in hangs if hang.error) == [
        "AttemptTimedOut",
        "AttemptTimedOut",
        "NoThreadFree",
    ]
    assert sum(hang.possibly_executed for hang in hangs) == 2
    assert begun.acquire(timeout=0)
    assert begun.acquire(timeout=0)
    assert not begun.acquire(timeout=0)


@pytest.mark.parametrize(
    ("result", "error"),
    [(object(), "NotSerialisable"), ("\udc80", "NotSerialisable"), ("x" * STATE_BYTES_MAX, "PayloadTooLarge")],
)
def test_a_result_that_cannot_be_kept_fails_the_step_for_good(open_ledger: OpenLedger, result: Any, error: str) -> None:
    """The step did happen, so it is not run again, and it is undone."""
    trip = Saga("trip", input=int)
    undone: list[Any] = []

    @trip.step(retry=AT_ONCE)
    async def book(_: int, __: StepContext) -> Any:
        return result

    @book.compensation
    async def cancel(_: int, known: Any, __: StepContext) -> None:
        undone.append(known)

    state, events, _ = _run(open_ledger, trip)

    assert state.cause == f"step book failed ({error})"
    assert events.count("book started") == 1
    assert undone == [None]


class Panic(BaseException):
    """Like the exceptions of extension modules that are not meant to be caught."""


@pytest.mark.parametrize(
    "error", [ValueError("\udcff \x00 €"), SystemExit(3), ValueError("x" * 500_000), Panic("at the disco")]
)
def test_whatever_a_step_raises_goes_on_record(open_ledger: OpenLedger, error: BaseException) -> None:
    """Text that is not Unicode, an exit, an enormous message, no `Exception`: the step failed, the worker goes on."""
    trip = Saga("trip", input=int)

    @trip.step(retry=ONCE, compensable=False)
    async def raise_it(_: int, __: StepContext) -> None:
        raise error

    state, _, events = _run(open_ledger, trip)

    assert state.cause == f"step raise_it failed ({type(error).__name__})"
    assert [len(recorded.error.message) < 5_000 for recorded in events if isinstance(recorded, StepFailed)] == [True]


class Party(msgspec.Struct):
    """An input with a rule that may change while its structure stays."""

    most: ClassVar[int] = 9
    guests: int

    def __post_init__(self) -> None:
        if self.guests > self.most:
            raise ValueError(f"at most {self.most} guests")


def test_an_input_that_no_longer_fits_proves_that_nothing_happened(
    open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input type whose rules changed cannot read the old one: the step fails, and was not called."""
    trip = Saga("trip", input=Party)
    called: list[Any] = []

    @trip.step(compensable=False)
    async def book(value: Any, _: StepContext) -> None:
        called.append(value)

    ledger = open_ledger(App(sagas=[trip]))
    ledger.start(trip, Party(5), key="1")
    monkeypatch.setattr(Party, "most", 4)

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            return await worker.outcome("trip-1")

    state = play(scene())
    effects = [r.event.effect for r in ledger.history("trip-1") if isinstance(r.event, StepFailed)]
    assert state.cause == "step book failed (InvalidInput)"
    assert effects == [Effect.NONE]
    assert called == []
