"""The options and the answer of commands that decide about many sagas at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Annotated, Any

from cyclopts import Group, Parameter

from ...ledger.bulk_operations import (
    BulkFilter,
    BulkOutcome,
    BulkResult,
    BulkSelection,
    BulkTarget,
    decide_each,
    not_tried,
    preview,
)
from ..exit_codes import ExitCode
from ..options import Options
from ..output.answer import Block, answer, say
from ..output.progress import progress
from ..output.table import Table
from ..output.text import counted
from ..usage import UsageError

LIMIT_MAX = 10_000_000
PER_SECOND_MIN = 1e-6
MANY = Group("Options for many sagas at once, instead of an id", sort_key=90)
COLUMNS = ("saga_id", "step", "outcome", "position", "cause", "error")


@Parameter(name="*", group=MANY)
@dataclass(frozen=True, kw_only=True)
class BulkOptions:
    """Which sagas to decide about, if not one by its id, and at which pace."""

    definition: Annotated[str | None, Parameter(help="Those of this definition.")] = None
    step: Annotated[str | None, Parameter(help="Those that are at this step.")] = None
    cause: Annotated[str | None, Parameter(help="Those whose cause, or latest error, contains this text.")] = None
    dry_run: Annotated[bool, Parameter(negative="", help="Only show which sagas they are.")] = False
    per_second: Annotated[float, Parameter(help="How many a second, at most.")] = 50.0
    limit: Annotated[int, Parameter(help="How many, at most; the oldest first.")] = 1000

    def __post_init__(self) -> None:
        """Raise `UsageError` for numbers that cannot be used."""
        if not (1 <= self.limit <= LIMIT_MAX and PER_SECOND_MIN <= self.per_second < inf):
            raise UsageError(
                f"--limit must be from 1 to {LIMIT_MAX:,}, and --per-second a number of at least {PER_SECOND_MIN:g}"
            )

    @property
    def filter(self) -> BulkFilter:
        """The sagas that the options select."""
        return BulkFilter(self.definition, self.step, self.cause, self.limit)


ONE = BulkOptions()
"""No option for many sagas was given."""


def check_target(saga_id: str | None, *, filtered: bool) -> None:
    """Raise `UsageError` unless the command names either one saga by its id, or many by a filter."""
    if saga_id is not None and filtered:
        raise UsageError(f"name one saga, or filter many: {saga_id} and a filter were both given")
    if saga_id is None and not filtered:
        raise UsageError("which saga? Give its id, or a filter such as --status (--dry-run shows which sagas it finds)")


def decide_about_many(
    options: Options,
    many: BulkOptions,
    selection: BulkSelection,
    heading: dict[str, Any],
    decide: Callable[[BulkTarget], int],
) -> ExitCode:
    """Decide about each saga of a selection, and answer with what became of all.

    Exits 1 if a decision failed or was not tried.
    """
    results: list[BulkResult] = []
    try:
        with progress(f"{heading['action']} {counted(len(selection.targets), 'saga')}") as report:
            pending = preview(selection) if many.dry_run else decide_each(selection, decide, per_second=many.per_second)
            for result in pending:
                results.append(result)
                report(len(results), len(selection.targets))
    except KeyboardInterrupt:
        say("interrupted: the remaining sagas were not tried")
    results += not_tried(selection, results)
    counts = {outcome.value: sum(result.outcome is outcome for result in results) for outcome in BulkOutcome}
    document = {
        **heading,
        "dry_run": many.dry_run,
        "as_of_position": selection.position,
        "items": [_document(result) for result in results],
        **counts,
        "more": selection.more,
    }
    answer(options, document, lambda: _lines(results))
    if not options.json:
        summary = ", ".join(f"{count:,} {outcome.replace('_', ' ')}" for outcome, count in counts.items() if count)
        more = "; there are more: raise --limit" if selection.more else ""
        say(f"{heading['action']}: {summary or 'no saga matches'}{more}")
    return ExitCode.FAILED if counts[BulkOutcome.FAILED] or counts[BulkOutcome.NOT_TRIED] else ExitCode.OK


def _document(result: BulkResult) -> dict[str, Any]:
    fields = result._asdict()
    return {**fields.pop("target")._asdict(), **fields}


def _lines(results: Sequence[BulkResult]) -> Iterable[Block]:
    if results:
        rows = [(r.target.saga_id, r.target.step, r.outcome, r.position, r.target.cause, r.error) for r in results]
        shown = [at for at in range(len(COLUMNS)) if any(row[at] is not None for row in rows)]
        columns = [COLUMNS[at] for at in shown]
        yield Table(columns, [[row[at] for at in shown] for row in rows])
