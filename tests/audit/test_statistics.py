"""Statistics agree with what a reader of the log counts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sagaledger.domain.errors import InvalidInput
from sagaledger.infrastructure.audit.statistics import (
    OUTCOME_UNKNOWN,
    RetryCause,
    StatisticsFilter,
    StepStatistics,
    read_statistics,
)
from sagaledger.infrastructure.ledger.context import LedgerContext

EVERY_SAGA = StatisticsFilter()


def _step(context: LedgerContext, step: str, direction: str = "forward") -> StepStatistics:
    found = read_statistics(context, EVERY_SAGA)
    return next(each for each in found.steps if (each.step, each.direction) == (step, direction))


def test_sagas_are_counted_by_how_they_ended(context: LedgerContext) -> None:
    """The rate is that of the sagas that have ended."""
    (orders,) = read_statistics(context, EVERY_SAGA).definitions

    assert (orders.definition, orders.sagas) == ("orders", 6)
    assert orders.statuses == {"compensated": 2, "completed": 4}
    assert orders.compensation_rate == pytest.approx(2 / 6, abs=1e-4)


def test_attempts_are_counted_by_how_they_ended(context: LedgerContext) -> None:
    """Two orders met the outage, three times each; one card was declined."""
    charge = _step(context, "charge")

    assert (charge.attempts, charge.succeeded, charge.failed, charge.unknown) == (12, 5, 7, 0)
    assert (charge.retries, charge.beyond_second) == (6, 4)
    assert charge.attempts_per_success == pytest.approx(12 / 5)
    assert _step(context, "release").skipped == 4


def test_durations_and_lost_time_are_those_of_the_log(context: LedgerContext) -> None:
    """They are computed again here, from the events."""
    begun: dict[tuple[str, int], datetime] = {}
    took: list[float] = []
    first: dict[str, datetime] = {}
    last: dict[str, datetime] = {}
    for row in context.backend.read(0, limit=1000):
        event = context.codec.decode(row).event
        if getattr(event, "step", None) != "charge":
            continue
        if row.topic == "StepStarted":
            begun[row.stream_id, event.attempt] = last[row.stream_id] = event.at
            first.setdefault(row.stream_id, event.at)
        elif row.topic in ("StepSucceeded", "StepFailed"):
            took.append((event.at - begun[row.stream_id, event.attempt]).total_seconds())
    took.sort()

    charge = _step(context, "charge")

    assert (charge.seconds.p50, charge.seconds.p95) == (took[5], took[11])  # nearest rank of twelve
    assert charge.retry_seconds == pytest.approx(sum((last[s] - first[s]).total_seconds() for s in first), abs=1e-5)
    assert charge.retry_seconds > 0


def test_each_error_has_the_retries_that_it_caused(context: LedgerContext) -> None:
    """A refusal and a last failure caused none."""
    causes = read_statistics(context, EVERY_SAGA).retry_causes

    assert causes == [
        RetryCause("orders", "charge", "forward", "ConnectionError", 6, 4, 2),
        RetryCause("orders", "charge", "compensation", "ConnectionError", 1, 0, 1),
    ]
    assert OUTCOME_UNKNOWN not in {cause.error for cause in causes}


@pytest.mark.parametrize(
    ("wanted", "sagas", "steps"),
    [
        (StatisticsFilter(attributes=["customer=C-1"]), 3, {"charge", "release", "ship"}),
        (StatisticsFilter(attributes={"customer": "C-2"}, step="charge"), 2, {"charge"}),
        (StatisticsFilter(definition="others"), 0, set()),
        (StatisticsFilter(started_since=datetime(2100, 1, 1, tzinfo=UTC)), 0, set()),
        (StatisticsFilter(started_before=datetime(2100, 1, 1, tzinfo=UTC), step="ship"), 6, {"ship"}),
    ],
)
def test_a_filter_says_which_sagas_and_steps_count(
    context: LedgerContext, wanted: StatisticsFilter, sagas: int, steps: set[str]
) -> None:
    """By definition, start, step and search attribute."""
    found = read_statistics(context, wanted)

    assert sum(each.sagas for each in found.definitions) == sagas
    assert {each.step for each in found.steps} == steps


def test_a_condition_that_cannot_be_read_is_refused(context: LedgerContext) -> None:
    """As everywhere else."""
    with pytest.raises(InvalidInput, match="customer"):
        read_statistics(context, StatisticsFilter(attributes=["customer"]))
