"""When replies of the database are lost, a worker asks it again what it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from time import monotonic, sleep

from msgspec import Raw

from sagaledger import App, Ledger, Retry, Saga
from sagaledger.domain.recorded_event import Meta
from sagaledger.domain.saga.outcome import Success, failure_of
from sagaledger.domain.saga.state import Status
from sagaledger.domain.shop import Order, OrderLine
from sagaledger.infrastructure.errors import Unavailable
from sagaledger.infrastructure.ledger.saga_start import SagaStart
from sagaledger.infrastructure.shop.app import APP
from sagaledger.infrastructure.worker.coordination.reconciler import Reconciler
from sagaledger.infrastructure.worker.engine import Engine
from sagaledger.infrastructure.worker.messages import AttemptEnded, AwaitIdle, Reply, StartSaga

from ..work_queue import remove_all_entries
from .conftest import OpenLedger, drive
from .test_worker import Flaky

PATIENCE_SECONDS = 10.0
ORDER = Order("1", datetime(2030, 1, 1, tzinfo=UTC), (OrderLine("lamp", 1, 100),))


def test_a_saga_claimed_unheard_while_its_own_start_waits_is_not_lost(open_ledger: OpenLedger) -> None:
    """Another process started it meanwhile, and the reply to the claim was lost: the worker learns that it holds it."""
    ledger, elsewhere = open_ledger(APP), open_ledger(APP)
    flaky = Flaky(ledger.backend)
    ledger.context.backend = flaky  # type: ignore[assignment]  # it stands before the real one
    engine = Engine(ledger.context, concurrency=10, lease_seconds=60.0)
    flaky.trouble = _fail_once("streams")
    saga_start = SagaStart.of(APP.definition("fulfil_order"), ORDER, None)
    engine.turn(
        [StartSaga(saga_start, Meta(), None)]
    )  # its start is admitted, and the streams that it needs cannot be read
    elsewhere.start("fulfil_order", ORDER)
    flaky.aftermath = _fail_once("claim")

    until = monotonic() + PATIENCE_SECONDS
    while elsewhere.state(saga_start.saga_id).end is None and monotonic() < until:
        sleep(engine.seconds_to_wait())
        engine.turn([])

    assert elsewhere.state(saga_start.saga_id).status is Status.COMPENSATED  # there was no stock
    assert elsewhere.backend.entries() == []
    engine.finish()


def test_a_saga_that_another_worker_drives_too_is_let_go_of(postgres_url: str) -> None:
    """Its queue entry was lost and restored, so two workers hold it: the owner by the work queue goes on alone."""
    saga = Saga("errand", input=int)
    saga.step(name="run", compensable=False, retry=Retry(attempts=3, backoff_seconds=0.0))(lambda _, __: None)
    app = App(sagas=[saga])
    with (
        Ledger.open(postgres_url, app, create=True) as ledger,
        Ledger.open(postgres_url, app) as other,
        closing(asyncio.new_event_loop()) as loop,
    ):
        first, second = (Engine(one.context, concurrency=10, lease_seconds=60.0) for one in (ledger, other))
        start = StartSaga(SagaStart.of(saga.definition, 1, "1"), Meta(), None)
        [attempt] = drive(first, lambda: False, [start])
        [row] = ledger.backend.entries()
        remove_all_entries(ledger.backend, [row])
        assert Reconciler(other.context).sweep() == ["errand-1"]
        [again] = drive(second, lambda: False)

        # when the first worker learns of the other's attempt, then it holds nothing and is idle
        failed = failure_of(OSError("no answer"))
        idle = AwaitIdle(Reply(loop.create_future()))
        turn = first.turn([AttemptEnded(attempt.saga, attempt.attempt, failed), idle])
        until = monotonic() + PATIENCE_SECONDS
        while not turn.replies:
            assert monotonic() < until, "it holds the saga still"
            turn = first.turn([])

        # and the second worker makes every further attempt
        [last] = drive(second, lambda: False, [AttemptEnded(again.saga, again.attempt, failed)])
        done = AttemptEnded(last.saga, last.attempt, Success(Raw(b"null")))
        drive(second, lambda: ledger.state("errand-1").end is not None, [done])
        assert [one.attempt.attempt for one in (attempt, again, last)] == [1, 2, 3]
        first.finish()
        second.finish()


def _fail_once(name: str) -> Callable[[str], None]:
    failed: list[str] = []

    def fail(called: str) -> None:
        if called == name and not failed:
            failed.append(called)
            raise Unavailable("away")

    return fail
