"""What happened in a ledger between two moments: events by type, sagas, and the rows of every view."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from ...domain.errors import InvalidInput
from ...projections.poison_event import PoisonEvent
from ...projections.projection import Projection
from ...projections.saga.sagas import sagas
from ..read_models.process_coverage import folds_sagas
from ..read_models.view_changes import RowPair, ViewChanges, view_changes
from ..runtime.progress import ReportProgress
from .context import LedgerContext
from .moment import AnyMoment, moment_of, position_of, recorded_at
from .undeclared_process import find_undeclared_process
from .view_operations import declared_projection, view_checkpoints

ROWS_LISTED = 20
"""How many sagas, and rows of each view, are listed unless the caller says otherwise. All are counted."""
ROWS_LISTED_MAX = 10_000
EVENTS_PER_READ = 1_000


class LogMoment(Struct, frozen=True):
    """One end of the time that is looked at."""

    position: int
    recorded_at: datetime | None
    """When the event at that position was recorded; None before the first event."""


class SagaStatusChange(Struct, frozen=True):
    """A saga that started, or that has another status."""

    saga_id: str
    definition: str
    before: str | None
    """Its status at the first moment; None if it had not begun."""
    after: str


class SagaChanges(Struct):
    """The sagas that changed; all are counted, and the first ones are listed."""

    started: int = 0
    ended: int = 0
    status_changed: int = 0
    """How many that had begun before have another status."""
    listed: list[SagaStatusChange] = []

    def add(self, pair: RowPair, listed_max: int) -> None:
        """Count a row of the view `sagas` that changed, and list it if its status did and the list is not full."""
        before, after = pair
        if after is None:
            return
        was = None if before is None else before["status"]
        self.ended += after["ended_at"] is not None and (before is None or before["ended_at"] is None)
        if was == after["status"]:
            return
        if self.started + self.status_changed < listed_max:
            self.listed.append(SagaStatusChange(after["saga_id"], after["definition"], was, after["status"]))
        self.started += before is None
        self.status_changed += before is not None


class LedgerChanges(Struct, frozen=True):
    """What happened after one moment, up to another."""

    since: LogMoment
    until: LogMoment
    events: dict[str, int]
    """How many events of each type were recorded, by their stored name; the most frequent first."""
    sagas: SagaChanges
    views: list[ViewChanges]
    not_compared: dict[str, str]
    """The views that could not be compared, and why."""


def changes(
    context: LedgerContext,
    since: AnyMoment,
    until: AnyMoment | None = None,
    *,
    views: Sequence[str] | None = None,
    limit: int = ROWS_LISTED,
    report: ReportProgress | None = None,
) -> LedgerChanges:
    """Return what happened between two moments of the log; the second is now, unless it is given.

    `views`: those to compare; None for every view. Each is folded from the first event on, by the handlers of today.
    `limit`: the most sagas, and the most rows of each view, that are listed. All are counted.
    Raises `InvalidInput` for what is no moment of the whole log, and if the first moment is after the second.
    """
    if not 1 <= limit <= ROWS_LISTED_MAX:
        raise InvalidInput(f"changes lists 1 to {ROWS_LISTED_MAX:,} rows of each view, and {limit:,} were asked for")
    begin = position_of(context, moment_of(context, since))
    end = context.backend.head().position if until is None else position_of(context, moment_of(context, until))
    if begin > end:
        raise InvalidInput(
            f"the first moment is @{begin}, after the second, which is @{end}: give the earlier one first"
        )
    projections, not_compared = _comparable(context, views)
    compared, of_sagas = _compared(context, projections, begin, end, limit, not_compared, report)
    if views is not None and sagas.name not in views:
        compared = [view for view in compared if view.view != sagas.name]
    return LedgerChanges(
        LogMoment(begin, recorded_at(context, begin)),
        LogMoment(end, recorded_at(context, end)),
        dict(_events_by_type(context, begin, end).most_common()),
        of_sagas,
        compared,
        not_compared,
    )


def _comparable(context: LedgerContext, views: Sequence[str] | None) -> tuple[list[Projection], dict[str, str]]:
    """Return the projections to fold, that of sagas among them, and why others cannot be."""
    if views is not None:
        wanted = {view: declared_projection(context, view) for view in views}
        if sagas.name not in wanted and find_undeclared_process(context) is not None:
            return list(wanted.values()), {sagas.name: "the app in use lacks the choreography of a process"}
        return list(({sagas.name: context.queries.projection(sagas.name)} | wanted).values()), {}
    declared = {projection.name: projection for projection in context.app.projections}
    undeclared = find_undeclared_process(context)
    reasons = {}
    for checkpoint in view_checkpoints(context):
        if checkpoint.view not in declared:
            reasons[checkpoint.view] = "--app names the app that declares it; the one in use does not"
    for name, projection in declared.items():
        if undeclared is not None and folds_sagas(projection):
            reasons[name] = f"the app in use lacks the choreography of {undeclared}"
    return [projection for name, projection in declared.items() if name not in reasons], reasons


def _compared(
    context: LedgerContext,
    projections: Sequence[Projection],
    begin: int,
    end: int,
    limit: int,
    not_compared: dict[str, str],
    report: ReportProgress | None,
) -> tuple[list[ViewChanges], SagaChanges]:
    """Compare the views; one that cannot be folded is left out, and the others are folded again without it."""
    left = list(projections)
    while left:
        of_sagas = SagaChanges(listed=[])

        def count(view: str, pair: RowPair, of_sagas: SagaChanges = of_sagas) -> None:
            if view == sagas.name:
                of_sagas.add(pair, limit)

        try:
            found = view_changes(
                context.backend, context.codec, left, begin, end, rows_max=limit, each=count, progress=report
            )
        except PoisonEvent as error:
            not_compared[error.projection] = str(error)
            left = [projection for projection in left if projection.name != error.projection]
        else:
            return found, of_sagas
    return [], SagaChanges(listed=[])


def _events_by_type(context: LedgerContext, begin: int, end: int) -> Counter[str]:
    counted: Counter[str] = Counter()
    while begin < end and (rows := context.backend.read(begin, limit=EVENTS_PER_READ, upto=end)):
        counted.update(row.topic for row in rows)
        begin = rows[-1].position
    return counted
