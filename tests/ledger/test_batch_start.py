"""Starting many sagas at once, on both databases."""

from __future__ import annotations

from sagaledger.infrastructure.errors import SagaConflict
from sagaledger.infrastructure.ledger.batch_start import start_many
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.saga_start import SagaStart, Started

from .trip import Trip, trip


def _start(place: str, seats: int, key: str | None = None) -> SagaStart:
    return SagaStart.of(trip.definition, Trip(place, seats), key, actor="ann")


def test_sagas_start_in_one_append_call(ledger: Ledger) -> None:
    """Each has its own position, and the actor is on record."""
    outcomes = start_many(ledger.context, [_start("Rome", seats) for seats in range(1, 41)])

    assert [outcome.created for outcome in outcomes if isinstance(outcome, Started)] == [True] * 40
    assert len(ledger.backend.appends(0, limit=50)) == 1
    assert {recorded.meta.actor for recorded in ledger.history("trip-Rome.7")} == {"ann"}


def test_a_start_that_fails_keeps_no_other_from_starting(ledger: Ledger) -> None:
    """The same saga twice is one saga, and one with another input a conflict."""
    batch = [_start("Rome", 1), _start("Oslo", 2, "x"), _start("Oslo", 3, "x"), _start("Rome", 1)]

    outcomes = start_many(ledger.context, batch)

    first, second, third, fourth = outcomes
    assert isinstance(first, Started)
    assert isinstance(second, Started)
    assert isinstance(third, SagaConflict)
    assert fourth == first._replace(created=False)


def test_a_batch_that_is_sent_again_starts_nothing(ledger: Ledger) -> None:
    """Its sagas are found, at the positions that they have."""
    batch = [_start("Rome", seats) for seats in range(1, 6)]
    first = start_many(ledger.context, batch)
    head = ledger.backend.head().position

    again = start_many(ledger.context, batch)

    assert again == [outcome._replace(created=False) for outcome in first if isinstance(outcome, Started)]
    assert ledger.backend.head().position == head
