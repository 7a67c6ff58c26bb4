"""How sagas and their steps went: durations, attempts, what caused retries, and the time that was lost to them.

Everything is computed from the rows of the views `sagas` and `saga_steps`, read once in one snapshot. Memory grows by
eight bytes for each attempt and each saga that has ended, and while the percentiles of a step are computed by 32 more
for each of its attempts.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from math import ceil
from operator import itemgetter
from typing import Any, NamedTuple

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, and_, select

from ...domain.saga.events import FORWARD
from ...domain.saga.item_names import split_item_name
from ...projections.projection import Row
from ...projections.saga.saga_steps import FAILED, SKIPPED, SUCCEEDED, UNKNOWN, saga_steps
from ...projections.saga.sagas import sagas
from ..ledger.context import LedgerContext
from ..read_models.attribute_filter import attribute_conditions
from ..read_models.condition import Where, conditions_of
from ..read_models.readable import each_row
from ..read_models.relative_time import utc_now

OUTCOME_UNKNOWN = "the worker died during the attempt"
"""What caused a retry where no error is on record."""
_OF_STEP = itemgetter("saga_id", "step", "direction")


class StatisticsFilter(NamedTuple):
    """Which sagas are counted; every condition that is not None must hold."""

    definition: str | None = None
    step: str | None = None
    """Of the steps, only this one. Items of a for-each step count under its name."""
    started_since: datetime | None = None
    started_before: datetime | None = None
    attributes: Where | None = None
    """Conditions on the search attributes, as for `SagaFilter`."""


class Durations(Struct, frozen=True):
    """Nearest-rank percentiles in seconds; None where nothing has ended."""

    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, seconds: array[float]) -> Durations:
        """Return the percentiles of these durations."""
        ordered = sorted(seconds)
        return cls(*(_percentile(ordered, percent) for percent in (50, 95, 99)))


class SagaStatistics(Struct, frozen=True):
    """How the sagas of one definition went."""

    definition: str
    sagas: int
    statuses: dict[str, int]
    compensation_rate: float | None
    """The share of the sagas that were compensated among those that have ended; None if none has."""
    seconds: Durations
    """From the start to the end."""


class StepStatistics(Struct, frozen=True):
    """How one step went in one direction, in all sagas of one definition."""

    definition: str
    step: str
    direction: str
    attempts: int
    succeeded: int
    failed: int
    unknown: int
    """Attempts whose worker died before it recorded an outcome."""
    skipped: int
    """How often the step's condition was false; no attempt was made."""
    attempts_per_success: float | None
    retries: int
    """Attempts after the first one of a step."""
    beyond_second: int
    """Attempts after the second one of a step."""
    retry_seconds: float
    """The time lost to retries: from the begin of a step's first attempt to the begin of its last one."""
    seconds: Durations
    """From the begin of an attempt, or of a wait, to its end."""


class RetryCause(Struct, frozen=True):
    """The retries that one type of error caused."""

    definition: str
    step: str
    direction: str
    error: str
    retries: int
    beyond_second: int
    """Those of them that were the third attempt of a step, or a later one."""
    sagas: int


class Statistics(Struct, frozen=True):
    """How sagas and their steps went, as the views had them at one position."""

    position: int
    view: str
    """The view that the position is of: the one that was furthest behind."""
    definitions: list[SagaStatistics]
    steps: list[StepStatistics]
    retry_causes: list[RetryCause]


def read_statistics(context: LedgerContext, wanted: StatisticsFilter) -> Statistics:
    """Compute statistics of the sagas that a filter selects.

    Raises `InvalidInput` for a condition that cannot be used, and `WrongState` for a view that must be rebuilt.
    """
    condition = _condition(wanted)
    joined = (saga_steps.name,)
    snapshot = context.queries.snapshot(sagas, searched=bool(wanted.attributes), joined=joined)
    with snapshot as (connection, checkpoint):
        definitions = _definitions(each_row(connection, _select_sagas(condition), sagas.name))
        tallies = _Tallies(wanted.step)
        for (_, step, direction), attempts in groupby(
            each_row(connection, _select_attempts(condition), saga_steps.name), _OF_STEP
        ):
            tallies.add(step, direction, list(attempts))
    return Statistics(checkpoint.position, checkpoint.view, definitions, tallies.steps(), tallies.causes())


def _condition(wanted: StatisticsFilter) -> ColumnElement[bool]:
    started = sagas.table.c.started_at
    conditions = [sagas.table.c.events > 0]
    if wanted.definition is not None:
        conditions.append(sagas.table.c.definition == wanted.definition)
    if wanted.started_since is not None:
        conditions.append(started >= wanted.started_since)
    if wanted.started_before is not None:
        conditions.append(started < wanted.started_before)
    conditions += attribute_conditions(sagas.table, conditions_of(wanted.attributes), utc_now())
    return and_(*conditions)


def _select_sagas(condition: ColumnElement[bool]) -> Select[Any]:
    c = sagas.table.c
    return select(c.definition, c.status, c.started_at, c.ended_at).where(condition)


def _select_attempts(condition: ColumnElement[bool]) -> Select[Any]:
    c = saga_steps.table.c
    columns = (c.saga_id, c.step, c.direction, c.attempt, c.status, c.started_at, c.ended_at, c.error)
    selected = select(sagas.table.c.definition, *columns).join_from(
        saga_steps.table, sagas.table, c.saga_id == sagas.table.c.saga_id
    )
    return selected.where(condition).order_by(*saga_steps.table.primary_key)


def _definitions(rows: Iterator[Row]) -> list[SagaStatistics]:
    statuses: defaultdict[str, Counter[str]] = defaultdict(Counter)
    seconds: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))
    for row in rows:
        definition = row["definition"]
        statuses[definition][row["status"]] += 1
        if row["ended_at"] is not None:
            seconds[definition].append(_seconds(row["started_at"], row["ended_at"]))
    return [
        SagaStatistics(
            name,
            counted.total(),
            dict(sorted(counted.items())),
            _ratio(counted["compensated"], len(seconds[name])),
            Durations.of(seconds[name]),
        )
        for name, counted in sorted(statuses.items())
    ]


class _Tally:
    """What was counted of one step in one direction."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.attempts = self.retries = self.beyond_second = 0
        self.retry_seconds = 0.0
        self.seconds = array("d")
        self.retries_by_error: Counter[str] = Counter()
        self.beyond_second_by_error: Counter[str] = Counter()
        self.sagas_by_error: Counter[str] = Counter()

    def add(self, attempts: Sequence[Row]) -> None:
        """Count the attempts of one saga, in their order."""
        self.outcomes.update(row["status"] for row in attempts)
        made = [row for row in attempts if row["status"] != SKIPPED]
        self.attempts += len(made)
        self.retries += max(len(made) - 1, 0)
        self.beyond_second += max(len(made) - 2, 0)
        self.seconds.extend(_seconds(row["started_at"], row["ended_at"]) for row in made if row["ended_at"] is not None)
        if len(made) > 1:
            self.retry_seconds += _seconds(made[0]["started_at"], made[-1]["started_at"])
            causes = [_cause(row) for row in made[:-1]]
            self.retries_by_error.update(causes)
            self.beyond_second_by_error.update(causes[1:])
            self.sagas_by_error.update(set(causes))


class _Tallies:
    """What was counted of each step."""

    def __init__(self, only_step: str | None) -> None:
        self._only_step = only_step
        self._of: defaultdict[tuple[str, str, str], _Tally] = defaultdict(_Tally)

    def add(self, step: str, direction: str, attempts: Sequence[Row]) -> None:
        """Count the attempts of one step of one saga; an item counts as its for-each step."""
        item = split_item_name(step)
        name = step if item is None else item[0]
        if self._only_step in (None, name, step):
            self._of[attempts[0]["definition"], name, direction].add(attempts)

    def steps(self) -> list[StepStatistics]:
        """Return the statistics of each step, by name."""
        return [
            StepStatistics(
                *key,
                attempts=tally.attempts,
                succeeded=tally.outcomes[SUCCEEDED],
                failed=tally.outcomes[FAILED],
                unknown=tally.outcomes[UNKNOWN],
                skipped=tally.outcomes[SKIPPED],
                attempts_per_success=_ratio(tally.attempts, tally.outcomes[SUCCEEDED]),
                retries=tally.retries,
                beyond_second=tally.beyond_second,
                retry_seconds=round(tally.retry_seconds, 6),
                seconds=Durations.of(tally.seconds),
            )
            for key, tally in sorted(self._of.items(), key=_forward_first)
        ]

    def causes(self) -> list[RetryCause]:
        """Return what caused retries, the most frequent first."""
        found = [
            RetryCause(*key, error, count, tally.beyond_second_by_error[error], tally.sagas_by_error[error])
            for key, tally in self._of.items()
            for error, count in tally.retries_by_error.items()
        ]
        return sorted(found, key=lambda cause: (-cause.retries, cause.definition, cause.step, cause.error))


def _forward_first(tallied: tuple[tuple[str, str, str], _Tally]) -> tuple[str, str, bool]:
    definition, step, direction = tallied[0]
    return definition, step, direction != FORWARD.value


def _cause(row: Row) -> str:
    """Return the type of the error with which an attempt ended."""
    return row["error"].partition(": ")[0] if row["error"] else OUTCOME_UNKNOWN


def _seconds(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    return ordered[ceil(len(ordered) * percent / 100) - 1] if ordered else None


def _ratio(count: int, of: int) -> float | None:
    return round(count / of, 4) if of else None
