"""Sagas that compensate while their sub-sagas run, and the database is away at that moment."""

from __future__ import annotations

from time import sleep

import pytest

from sagaledger import App, Ledger, Retry, Saga, StepContext
from sagaledger.domain.recorded_event import Meta
from sagaledger.domain.saga.outcome import failure_of
from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.errors import Unavailable
from sagaledger.infrastructure.event_store.work_queue import FencingToken
from sagaledger.infrastructure.ledger import operations
from sagaledger.infrastructure.ledger.context import LedgerContext
from sagaledger.infrastructure.ledger.saga_start import SagaStart
from sagaledger.infrastructure.worker import sub_sagas
from sagaledger.infrastructure.worker.engine import Engine
from sagaledger.infrastructure.worker.messages import AttemptEnded, StartSaga

from .conftest import drive

AGAIN = Retry(attempts=3, backoff_seconds=0.1)


class Journey:
    """A trip whose stay is a sub-saga that waits for a signal, and an unrelated errand."""

    def __init__(self) -> None:
        self.stays_begun = 0
        self.stay = Saga("stay", input=int)
        self.stay.wait_for("word")
        self.trip = Saga("trip", input=int)
        self.trip.sub_saga(self.stay, name="rest")(self._input_of_stay).compensation(_nothing)
        self.errand = Saga("errand", input=int)
        self.errand.step(name="run", compensable=False, retry=AGAIN)(_nothing)
        self.app = App(sagas=[self.trip, self.stay, self.errand])

    def start(self, saga: Saga[int]) -> StartSaga:
        """Returns a message that starts a saga."""
        return StartSaga(SagaStart.of(saga.definition, 1, "1"), Meta(), None)

    def _input_of_stay(self, number: int, _: StepContext) -> int:
        self.stays_begun += 1
        return number


def test_what_settles_beside_a_saga_that_turns_back_is_settled(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stay cannot be cancelled at first: the errand in the same batch makes its next attempt all the same."""
    journey = Journey()
    with Ledger.open(url, journey.app, create=True) as ledger, Ledger.open(url, journey.app) as shell:
        engine = Engine(ledger.context, concurrency=10, lease_seconds=60.0)
        drive(engine, lambda: bool(shell.backend.stream("stay-trip-1.rest")), [journey.start(journey.trip)])
        drive(engine, lambda: shell.backend.entries() == [])
        [first] = drive(engine, lambda: False, [journey.start(journey.errand)])
        failed = AttemptEnded(first.saga, first.attempt, failure_of(OSError("no answer")))
        drive(engine, lambda: "StepFailed" in topics(shell, "errand-1"), [failed])
        asked: list[str] = []

        def cancel_later(context: LedgerContext, saga_id: str, *, parent_id: str) -> object:
            asked.append(saga_id)
            if len(asked) == 1:
                raise Unavailable("away")
            return operations.cancel_sub_saga(context, saga_id, parent_id=parent_id)

        monkeypatch.setattr(sub_sagas, "cancel_sub_saga", cancel_later)
        shell.cancel("trip-1", actor="ann", reason="no time")
        sleep(2 * AGAIN.backoff_seconds)  # both are decided on in the next turn

        [second] = drive(engine, lambda: False)
        drive(engine, lambda: shell.state("trip-1").end is not None)

        assert (second.attempt.step, second.attempt.attempt) == ("run", 2)
        assert shell.state("trip-1").status is Status.COMPENSATED
        assert shell.state("stay-trip-1.rest").status is Status.COMPENSATED
        engine.finish()


def test_a_worker_that_lost_its_lease_starts_no_saga_of_one_that_others_turned_back(postgres_url: str) -> None:
    """It was stopped before it started the stay; meanwhile another worker compensated the trip."""
    journey = Journey()
    with Ledger.open(postgres_url, journey.app, create=True) as ledger, Ledger.open(postgres_url, journey.app) as other:
        late = Engine(ledger.context, concurrency=10, lease_seconds=60.0)
        drive(late, lambda: journey.stays_begun == 1, [journey.start(journey.trip)])
        assert other.backend.stream("stay-trip-1.rest") == []
        [stopped] = other.backend.workers()
        other.backend.retire(FencingToken(stopped.worker_id, stopped.epoch))
        other.cancel("trip-1", actor="ann", reason="no time")
        quick = Engine(other.context, concurrency=10, lease_seconds=60.0)
        drive(quick, lambda: other.state("trip-1").end is not None)
        quick.finish()

        drive(late, lambda: len(other.backend.workers()) == 1)
        drive(late, lambda: False, [journey.start(journey.errand)])
        late.finish()

        assert other.state("trip-1").status is Status.COMPENSATED
        assert other.backend.stream("stay-trip-1.rest") == []


def topics(ledger: Ledger, saga_id: str) -> list[str]:
    """Returns the stored names of a saga's events."""
    return [row.topic for row in ledger.backend.stream(saga_id)]


def _nothing(*_: object) -> None:
    """There is nothing to do."""
