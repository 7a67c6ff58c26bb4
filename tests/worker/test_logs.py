"""What a worker logs of its sagas: to whom, at which level, and what a handler finds on the records."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from sagaledger.domain.errors import StepRejected
from sagaledger.domain.participant import Command
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState, Status
from sagaledger.domain.saga.step import StepContext
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.worker.engine import Engine

from .conftest import OpenLedger, drive, play, until, worker_on

CODE = "the code of the safe is 4711"
RETRY = Retry(attempts=2, backoff_seconds=0.0)
ONCE = Retry(attempts=1)
Records = list[logging.LogRecord]


class Collecting(logging.Handler):
    """A handler as a user writes one."""

    def __init__(self) -> None:
        super().__init__()
        self.records: Records = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[Records]:
    """What is logged from INFO on."""
    logger, handler = logging.getLogger("sagaledger"), Collecting()
    logger.addHandler(handler)
    with caplog.at_level(logging.INFO, "sagaledger"):
        yield handler.records
    logger.removeHandler(handler)


@pytest.fixture
def ledger_of(sqlite_url: str) -> Iterator[OpenLedger]:
    """Opens a ledger: what is logged does not depend on the database."""
    opened: list[Ledger] = []

    def open_(app: App) -> Ledger:
        opened.append(Ledger.open(sqlite_url, app, create=True))
        return opened[-1]

    yield open_
    for ledger in opened:
        ledger.close()


def run(ledger: Ledger, saga: Saga[str], value: str = CODE) -> SagaState:
    """Run one saga until it has ended or needs a person."""

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            return await worker.outcome((await worker.start(saga, value, key="1")).saga_id)

    return play(scene())


def of_sagas(records: Records) -> list[tuple[str, str]]:
    """The level and the message of each record about a saga."""
    return [(record.levelname, record.getMessage()) for record in records if hasattr(record, "saga_id")]


def test_an_attempt_that_failed_is_logged_with_its_traceback_and_what_it_was(
    ledger_of: OpenLedger, records: Records
) -> None:
    """The saga starts and ends at INFO; no value of a user is in any message."""
    trip = Saga("trip", input=str)

    @trip.step(compensable=False, retry=RETRY)
    async def book(value: str, ctx: StepContext) -> str:
        if ctx.attempt == 1:
            raise ConnectionError(value)
        return value

    state = run(ledger_of(App(sagas=[trip])), trip)

    worker = next(record.worker for record in records if record.getMessage().startswith("worker"))  # type: ignore[attr-defined]
    assert of_sagas(records) == [
        ("INFO", "saga trip-1 started"),
        ("WARNING", "attempt 1 at step book of saga trip-1 failed (its policy allows 2)"),
        ("INFO", f"saga trip-1 ended: completed after {(state.ended_at - state.started_at).total_seconds():.3f} s"),  # type: ignore[operator]
    ]
    failed = next(record for record in records if record.levelname == "WARNING")
    assert failed.exc_info is not None
    error, trace = failed.exc_info[1:]
    assert isinstance(error, ConnectionError)
    assert trace is not None
    assert trace.tb_next is not None  # as deep as the step itself
    found = {name: getattr(failed, name) for name in ("saga_id", "definition", "step", "direction", "attempt")}
    assert found == {
        "saga_id": "trip-1",
        "definition": "trip",
        "step": "book",
        "direction": "forward",
        "attempt": 1,
    }
    assert (failed.worker, failed.error_type) == (worker, "ConnectionError")  # type: ignore[attr-defined]
    ended = records[-2]
    assert (ended.status, ended.worker) == ("completed", worker)  # type: ignore[attr-defined]
    assert not any(CODE in record.getMessage() for record in records)
    assert {record.name.partition(".")[0] for record in records} == {"sagaledger"}


def test_a_refusal_is_business(ledger_of: OpenLedger, records: Records) -> None:
    """It is no warning, and has no traceback."""
    trip = Saga("trip", input=str)

    @trip.step(compensable=False)
    def book(value: str, _: StepContext) -> None:
        raise StepRejected(value)

    run(ledger_of(App(sagas=[trip])), trip)

    refused = next(record for record in records if "refused" in record.getMessage())
    assert (refused.levelname, refused.getMessage()) == ("INFO", "step book of saga trip-1 was refused")
    assert refused.exc_info is None
    assert {record.levelname for record in records} == {"INFO"}
    assert of_sagas(records)[-1][1].startswith("saga trip-1 ended: compensated after ")


def test_a_compensation_that_gives_up_is_an_error_once(ledger_of: OpenLedger, records: Records) -> None:
    """Each of its attempts is a warning, and then the saga needs a person."""
    trip = Saga("trip", input=str)

    @trip.step()
    async def book(value: str, _: StepContext) -> str:
        return value

    @book.compensation(retry=RETRY)
    async def cancel(value: str, _result: str | None, _ctx: StepContext) -> None:
        raise RuntimeError(value)

    @trip.step(compensable=False)
    async def leave(value: str, _: StepContext) -> None:
        raise StepRejected(value)

    state = run(ledger_of(App(sagas=[trip])), trip)

    assert state.status is Status.NEEDS_INTERVENTION
    assert of_sagas(records)[2:] == [
        ("WARNING", "attempt 1 at the compensation of step book of saga trip-1 failed (its policy allows 2)"),
        ("WARNING", "attempt 2 at the compensation of step book of saga trip-1 failed (its policy allows 2)"),
        ("ERROR", f"saga trip-1 needs a person for the compensation of step book: {state.interventions[0].cause}"),
    ]
    assert records[-2].direction == "compensation"  # type: ignore[attr-defined]


def test_a_local_step_that_fails_is_logged_with_its_traceback(ledger_of: OpenLedger, records: Records) -> None:
    """Once it is recorded: it runs within the append that records it."""
    trip = Saga("trip", input=str)

    def book(value: str, _: StepContext) -> Sequence[Command]:
        raise ValueError(value)

    trip.local_step(name="book", compensable=False, retry=ONCE)(book)

    run(ledger_of(App(sagas=[trip])), trip)

    failed = next(record for record in records if record.levelname == "WARNING")
    assert failed.getMessage() == "attempt 1 at step book of saga trip-1 failed (its policy allows 1)"
    assert failed.exc_info is not None
    assert failed.exc_info[0] is ValueError


def test_a_saga_that_cannot_be_decided_on_is_an_error_with_its_traceback(
    ledger_of: OpenLedger, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, though the saga then needs a person."""
    trip = Saga("trip", input=str)
    trip.step(name="book", compensable=False)(lambda value, _: value)
    ledger = ledger_of(App(sagas=[trip]))
    module = "sagaledger.infrastructure.worker.group_commit.transition"
    broken = iter([True])

    def fail_once(*arguments: Any) -> Any:
        if next(broken, False):
            raise ZeroDivisionError
        return outcome_event(*arguments)

    outcome_event = __import__(module, fromlist=["outcome_event"]).outcome_event
    monkeypatch.setattr(f"{module}.outcome_event", fail_once)

    run(ledger, trip)

    errors = [record for record in records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in errors] == [
        "saga trip-1 needs a person: it cannot be decided on or written"
    ]
    assert errors[0].exc_info is not None
    assert errors[0].exc_info[0] is ZeroDivisionError


def test_a_worker_logs_its_start_its_end_and_what_it_takes_over(ledger_of: OpenLedger, records: Records) -> None:
    """A worker is killed in the middle of an attempt: the next one says whose saga it has, and since when it works."""
    trip = Saga("trip", input=str)
    trip.step(name="book", compensable=False)(lambda value, _: value)
    ledger = ledger_of(App(sagas=[trip]))
    saga_id = ledger.start(trip, "Rome", key="1").saga_id
    killed = Engine(ledger.context, concurrency=1, lease_seconds=60)
    drive(killed, until=lambda: False)
    ledger.backend.retire(killed._lease.token)
    records.clear()

    async def scene() -> SagaState:
        async with worker_on(ledger, concurrency=7, threads=3) as worker:
            return await worker.outcome(saga_id)

    play(scene())

    texts = [record.getMessage() for record in records]
    worker_id = records[0].worker  # type: ignore[attr-defined]
    assert texts[0] == f"worker {worker_id} started: 7 sagas at once, 3 threads, a lease of 15 s"
    assert texts[1] == (
        f"saga trip-1 is taken over from worker {killed.worker_id}: the outcome of 1 attempts is unknown"
    )
    assert texts[-1] == f"worker {worker_id} stopped"


def test_a_lease_that_ran_out_is_logged_by_the_worker_that_ends_it(postgres_url: str, records: Records) -> None:
    """Its sagas go to others, of which this worker may be one."""
    trip = Saga("trip", input=str)
    trip.step(name="book", compensable=False)(lambda value, _: value)
    with Ledger.open(postgres_url, App(sagas=[trip]), create=True) as ledger:
        ledger.start(trip, "Rome", key="1")
        dead = Engine(ledger.context, concurrency=1, lease_seconds=0.05)

        async def scene() -> None:
            async with worker_on(ledger):
                await until(lambda: any("ran out" in record.getMessage() for record in records))

        play(scene())

    told = next(record for record in records if "ran out" in record.getMessage())
    assert told.getMessage() == f"the lease of worker {dead.worker_id} ran out: its sagas are due again"


class Broken(Collecting):
    """A handler that can do nothing, or cannot write tracebacks."""

    def __init__(self, *, at_tracebacks: bool) -> None:
        super().__init__()
        self._at_tracebacks = at_tracebacks

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or not self._at_tracebacks:
            raise OSError(record.getMessage())
        super().emit(record)


@pytest.mark.parametrize("at_tracebacks", [False, True])
def test_a_handler_that_raises_changes_no_outcome(ledger_of: OpenLedger, at_tracebacks: bool) -> None:
    """The attempt failed for its own reason, which is logged without its traceback if that is what does not work."""
    trip = Saga("trip", input=str)
    seen = threading.Event()

    @trip.step(compensable=False, retry=RETRY)
    async def book(_: str, ctx: StepContext) -> int:
        if ctx.attempt == 1:
            seen.set()
            raise ConnectionError
        return ctx.attempt

    logger = logging.getLogger("sagaledger.infrastructure.worker.saga_log")
    handler = Broken(at_tracebacks=at_tracebacks)
    logger.addHandler(handler)
    try:
        state = run(ledger_of(App(sagas=[trip])), trip)
    finally:
        logger.removeHandler(handler)

    assert seen.is_set()
    failed = "attempt 1 at step book of saga trip-1 failed (its policy allows 2): ConnectionError, whose traceback"
    assert [record.getMessage().startswith(failed) for record in handler.records] == [True] * at_tracebacks
    assert (state.status, bytes(state.result or b"")) == (Status.COMPLETED, b"2")


def test_a_plain_saga_makes_no_record_while_only_warnings_are_logged(
    ledger_of: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And formats nothing for one: what it would have said is not computed."""
    trip = Saga("trip", input=str)
    trip.step(name="book", compensable=False)(lambda value, _: value)
    made: list[str] = []
    make = logging.getLogRecordFactory()

    def noting(name: str, *arguments: Any, **options: Any) -> logging.LogRecord:
        if name.startswith("sagaledger"):
            made.append(name)
        return make(name, *arguments, **options)

    logging.setLogRecordFactory(noting)
    monkeypatch.setattr("sagaledger.infrastructure.worker.saga_log._fields", lambda *_: made.append("fields"))
    try:
        assert run(ledger_of(App(sagas=[trip])), trip).status is Status.COMPLETED
    finally:
        logging.setLogRecordFactory(make)

    assert made == []
