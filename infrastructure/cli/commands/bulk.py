"""One decision about many sagas: who they are, a preview, a throttle, and a result for each.

The views only say which sagas to try; each is decided on as it stands when its turn comes, so one that has moved on
meanwhile is a failure of its own, and never a wrong decision.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

from cyclopts import Group, Parameter
from sqlalchemy import Select, select

from ....domain.errors import SagaledgerError
from ....projections.saga.interventions import OPEN
from ...errors import OutcomeUnknown, Unavailable
from ...ledger.ledger import Ledger
from ..exit_codes import ExitCode
from ..options import Options
from ..output.freshness import follow_if_unattended
from ..output.output import Block, answer, say
from ..output.progress import progress
from ..output.table import Table
from ..output.text import counted
from ..usage import UsageError

MANY = Group("Options for many sagas at once, instead of an id", sort_key=90)
COLUMNS = ("saga_id", "step", "outcome", "position", "cause", "error")


@Parameter(name="*", group=MANY)
@dataclass(frozen=True, kw_only=True)
class BulkOptions:
    """Which sagas, if not one by its id; and how to go about it."""

    definition: Annotated[str | None, Parameter(help="Those of this definition.")] = None
    step: Annotated[str | None, Parameter(help="Those that stand at this step.")] = None
    cause: Annotated[str | None, Parameter(help="Those whose cause, or latest error, contains this text.")] = None
    dry_run: Annotated[bool, Parameter(negative="", help="Only show which they are.")] = False
    per_second: Annotated[float, Parameter(help="How many a second, at most.")] = 50.0
    limit: Annotated[int, Parameter(help="How many, at most; the oldest first.")] = 1000

    def __post_init__(self) -> None:
        """Raise `UsageError` for numbers that make no sense."""
        if self.limit < 1 or self.per_second <= 0:
            raise UsageError("--limit counts from 1, and --per-second is more than 0")


ONE = BulkOptions()
"""Nothing is said about many."""


class BulkTarget(NamedTuple):
    """A saga to decide about."""

    saga_id: str
    step: str | None
    cause: str | None


class BulkOutcome(StrEnum):
    """What became of one of them."""

    SELECTED = "selected"
    DONE = "done"
    FAILED = "failed"
    NOT_TRIED = "not_tried"


class BulkResult(NamedTuple):
    """What became of one saga."""

    target: BulkTarget
    outcome: BulkOutcome
    position: int | None = None
    error: str | None = None


class BulkSelection(NamedTuple):
    """The sagas that were asked for, by a view that stands at a position."""

    targets: list[BulkTarget]
    position: int
    more: bool


def parked(ledger: Ledger, many: BulkOptions) -> BulkSelection:
    """The steps that need a person, those that do so longest first."""
    open_ = ledger.context.queries.projection("interventions").table
    sagas = ledger.context.queries.projection("sagas").table
    wanted = (
        select(open_.c.saga_id, open_.c.step, open_.c.cause)
        .join(sagas, sagas.c.saga_id == open_.c.saga_id)
        .where(open_.c.status == OPEN, *_matching(many, sagas.c.definition, open_.c.step, open_.c.cause))
        .order_by(open_.c.required_at, open_.c.saga_id, open_.c.step)
    )
    return _find(ledger, "interventions", wanted, many.limit)


def moving(ledger: Ledger, many: BulkOptions, statuses: Sequence[str]) -> BulkSelection:
    """Sagas that stand so, oldest first."""
    sagas = ledger.context.queries.projection("sagas").table
    wanted = (
        select(sagas.c.saga_id, sagas.c.current_step, sagas.c.error)
        .where(
            sagas.c.status.in_(statuses),
            sagas.c.style == "orchestrated",
            *_matching(many, sagas.c.definition, sagas.c.current_step, sagas.c.error),
        )
        .order_by(sagas.c.started_at, sagas.c.saga_id)
    )
    return _find(ledger, "sagas", wanted, many.limit)


def decide_each(
    options: Options, found: BulkSelection, many: BulkOptions, heading: dict[str, Any], act: Callable[[BulkTarget], int]
) -> ExitCode:
    """Decide about each, no faster than told, and answer with what became of all; fails if one did."""
    results: list[BulkResult] = []
    try:
        with progress(f"{heading['action']} {counted(len(found.targets), 'saga')}") as report:
            for result in _previewed(found) if many.dry_run else _acted(found, act, many.per_second):
                results.append(result)
                report(len(results), len(found.targets))
    except KeyboardInterrupt:
        say("interrupted: the rest was not tried")
    results += [BulkResult(target, BulkOutcome.NOT_TRIED) for target in found.targets[len(results) :]]
    counts = {outcome.value: sum(result.outcome is outcome for result in results) for outcome in BulkOutcome}
    document = {
        **heading,
        "dry_run": many.dry_run,
        "as_of_position": found.position,
        "items": [_document(result) for result in results],
        **counts,
        "more": found.more,
    }
    answer(options, document, lambda: _lines(results))
    if not options.json:
        told = ", ".join(f"{count:,} {outcome.replace('_', ' ')}" for outcome, count in counts.items() if count)
        say(f"{heading['action']}: {told or 'no saga is so'}{'; there are more: raise --limit' if found.more else ''}")
    return ExitCode.FAILED if counts[BulkOutcome.FAILED] or counts[BulkOutcome.NOT_TRIED] else ExitCode.OK


def _matching(many: BulkOptions, definition: Any, step: Any, cause: Any) -> Iterable[Any]:
    if many.definition is not None:
        yield definition == many.definition
    if many.step is not None:
        yield step == many.step
    if many.cause is not None:
        yield cause.contains(many.cause, autoescape=True)


def _find(ledger: Ledger, view: str, wanted: Select[Any], limit: int) -> BulkSelection:
    follow_if_unattended(ledger)
    with ledger.context.queries.snapshot(ledger.context.queries.projection(view)) as (connection, standing):
        targets = [BulkTarget(*row) for row in connection.execute(wanted.limit(limit + 1))]
    return BulkSelection(targets[:limit], standing.position, more=len(targets) > limit)


def _previewed(found: BulkSelection) -> Iterator[BulkResult]:
    return (BulkResult(target, BulkOutcome.SELECTED) for target in found.targets)


def _acted(found: BulkSelection, act: Callable[[BulkTarget], int], per_second: float) -> Iterator[BulkResult]:
    """Each in its turn; a database that is away ends it, the rest is not tried."""
    begun = time.monotonic()
    for number, target in enumerate(found.targets):
        time.sleep(max(0.0, begun + number / per_second - time.monotonic()))
        try:
            yield BulkResult(target, BulkOutcome.DONE, act(target))
        except (Unavailable, OutcomeUnknown) as error:
            yield BulkResult(target, BulkOutcome.FAILED, error=str(error))
            return
        except SagaledgerError as error:
            yield BulkResult(target, BulkOutcome.FAILED, error=str(error))


def _document(result: BulkResult) -> dict[str, Any]:
    fields = result._asdict()
    return {**fields.pop("target")._asdict(), **fields}


def _lines(results: Sequence[BulkResult]) -> Iterable[Block]:
    if results:
        rows = [(r.target.saga_id, r.target.step, r.outcome, r.position, r.target.cause, r.error) for r in results]
        shown = [at for at in range(len(COLUMNS)) if any(row[at] is not None for row in rows)]
        columns = [COLUMNS[at] for at in shown]
        yield Table(columns, [[row[at] for at in shown] for row in rows], flexible=("error", "cause"))
