"""One decision about many sagas: selecting them, then deciding about each at a bounded pace.

The views only tell which sagas to try. Each is decided about in its state at that moment, so a saga that has moved on
meanwhile is a failure of its own, and never a wrong decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, select

from ...domain.errors import SagaledgerError
from ...projections.saga.interventions import OPEN
from ..errors import OutcomeUnknown, Unavailable
from ..read_models.readable import readable
from ..runtime.clock import SYSTEM_CLOCK, Clock
from .context import LedgerContext


class BulkFilter(NamedTuple):
    """Which sagas to decide about; every condition that is not None must hold."""

    definition: str | None = None
    step: str | None = None
    """The step that needs a person, or the current one."""
    cause: str | None = None
    """A part of the cause of the intervention, or of the latest error."""
    limit: int = 1_000
    """How many sagas at most, the oldest first."""


class BulkTarget(NamedTuple):
    """A saga to decide about."""

    saga_id: str
    step: str | None
    cause: str | None


class BulkSelection(NamedTuple):
    """The sagas that a filter selected, by a view at a position."""

    targets: list[BulkTarget]
    position: int
    more: bool
    """Whether the filter selects more sagas than its limit."""


class BulkOutcome(StrEnum):
    """What became of one target."""

    SELECTED = "selected"
    """It would be decided about: this was a preview."""
    DONE = "done"
    FAILED = "failed"
    NOT_TRIED = "not_tried"


class BulkResult(NamedTuple):
    """What became of one saga."""

    target: BulkTarget
    outcome: BulkOutcome
    position: int | None = None
    """The position of the event that records the decision."""
    error: str | None = None


def select_interventions(context: LedgerContext, wanted: BulkFilter) -> BulkSelection:
    """Select the steps that need a person, those that have needed one longest first."""
    parked = context.queries.projection("interventions").table
    sagas = context.queries.projection("sagas").table
    statement = (
        select(parked.c.saga_id, parked.c.step, parked.c.cause)
        .join(sagas, sagas.c.saga_id == parked.c.saga_id)
        .where(parked.c.status == OPEN, *_matching(wanted, sagas.c.definition, parked.c.step, parked.c.cause))
        .order_by(parked.c.required_at, parked.c.saga_id, parked.c.step)
    )
    return _selection(context, "interventions", statement, wanted.limit, joined=("sagas",))


def select_cancellable(context: LedgerContext, wanted: BulkFilter, statuses: Sequence[str]) -> BulkSelection:
    """Select the orchestrated sagas of these statuses, oldest first."""
    sagas = context.queries.projection("sagas").table
    statement = (
        select(sagas.c.saga_id, sagas.c.current_step, sagas.c.error)
        .where(
            sagas.c.status.in_(statuses),
            sagas.c.style == "orchestrated",
            *_matching(wanted, sagas.c.definition, sagas.c.current_step, sagas.c.error),
        )
        .order_by(sagas.c.started_at, sagas.c.saga_id)
    )
    return _selection(context, "sagas", statement, wanted.limit)


def preview(selection: BulkSelection) -> Iterator[BulkResult]:
    """Return what would be decided about, without deciding."""
    return (BulkResult(target, BulkOutcome.SELECTED) for target in selection.targets)


def decide_each(
    selection: BulkSelection,
    decide: Callable[[BulkTarget], int],
    *,
    per_second: float,
    clock: Clock = SYSTEM_CLOCK,
) -> Iterator[BulkResult]:
    """Decide about each target in its turn, at most `per_second`, and yield what became of it.

    `decide` returns the position of the event that records the decision. After an error that says that the database
    cannot be used, no further target is tried: `not_tried` returns those.
    """
    begun = clock.monotonic()
    for number, target in enumerate(selection.targets):
        clock.sleep(max(0.0, begun + number / per_second - clock.monotonic()))
        try:
            yield BulkResult(target, BulkOutcome.DONE, decide(target))
        except (Unavailable, OutcomeUnknown) as error:
            yield BulkResult(target, BulkOutcome.FAILED, error=str(error))
            return
        except SagaledgerError as error:
            yield BulkResult(target, BulkOutcome.FAILED, error=str(error))


def not_tried(selection: BulkSelection, results: Sequence[BulkResult]) -> list[BulkResult]:
    """Return the targets that come after these results."""
    return [BulkResult(target, BulkOutcome.NOT_TRIED) for target in selection.targets[len(results) :]]


def _matching(
    wanted: BulkFilter, definition: ColumnElement[str], step: ColumnElement[Any], cause: ColumnElement[Any]
) -> Iterable[ColumnElement[bool]]:
    if wanted.definition is not None:
        yield definition == wanted.definition
    if wanted.step is not None:
        yield step == wanted.step
    if wanted.cause is not None:
        yield cause.contains(wanted.cause, autoescape=True)


def _selection(
    context: LedgerContext, view: str, statement: Select[Any], limit: int, *, joined: Sequence[str] = ()
) -> BulkSelection:
    snapshot = context.queries.snapshot(context.queries.projection(view), joined=joined)
    with snapshot as (connection, checkpoint), readable(f"view {view}"):
        targets = [BulkTarget(*row) for row in connection.execute(statement.limit(limit + 1))]
    return BulkSelection(targets[:limit], checkpoint.position, more=len(targets) > limit)
