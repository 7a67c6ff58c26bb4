"""`changes`: what happened in the ledger between two moments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from cyclopts import Parameter

from ....projections.projection import Row
from ...ledger.changes import ROWS_LISTED, ROWS_LISTED_MAX, LedgerChanges, LogMoment
from ...ledger.changes import changes as find_changes
from ...read_models.view_changes import RowChange, ViewChanges
from ..arguments import between
from ..exit_codes import ExitCode
from ..options import DEFAULTS, LogMomentText, Options, read_moment
from ..output.answer import Block, answer, jsonable_row, say
from ..output.progress import progress
from ..output.screen import wrapped
from ..output.table import Table, cell
from ..output.text import counted
from ..output.timestamps import json_instant, show_instant
from ..session import open_ledger


def changes(
    since: LogMomentText,
    until: LogMomentText | None = None,
    /,
    *,
    view: Annotated[
        list[str] | None, Parameter(negative="", help="Compare only this view. Repeatable. [default: every view]")
    ] = None,
    limit: Annotated[
        int,
        Parameter(
            help="The most sagas, and rows of each view, that are listed.", validator=between(1, ROWS_LISTED_MAX)
        ),
    ] = ROWS_LISTED,
    options: Options = DEFAULTS,
) -> ExitCode:
    """What happened in the ledger between two moments: events by type, sagas, and the rows of the views.

    The second moment is now, unless it is given. The views of an app need the app.
    """
    moments = read_moment(since), None if until is None else read_moment(until)
    with open_ledger(options) as ledger, progress("folding the views") as report:
        found = find_changes(ledger.context, *moments, views=view, limit=limit, report=report)
    answer(options, _document(found), lambda: _blocks(found), lambda width: _blocks(found, width))
    if not options.json:
        for remark in _remarks(found):
            say(remark)
    return ExitCode.OK


def _document(found: LedgerChanges) -> dict[str, Any]:
    return {
        "since": _moment_document(found.since),
        "until": _moment_document(found.until),
        "events": found.events,
        "sagas": found.sagas,
        "views": [_view_document(view) for view in found.views],
        "not_compared": found.not_compared,
    }


def _moment_document(moment: LogMoment) -> dict[str, Any]:
    return {"position": moment.position, "recorded_at": json_instant(moment.recorded_at)}


def _view_document(view: ViewChanges) -> dict[str, Any]:
    rows = [
        {
            "key": jsonable_row(row.key),
            "before": None if row.before is None else jsonable_row(row.before),
            "after": None if row.after is None else jsonable_row(row.after),
        }
        for row in view.rows
    ]
    return {"view": view.view, "added": view.added, "changed": view.changed, "removed": view.removed, "rows": rows}


def _blocks(found: LedgerChanges, width: int | None = None) -> Iterable[Block]:
    sagas = found.sagas
    events = sum(found.events.values())
    yield f"{_moment(found.since)} to {_moment(found.until)}: {counted(events, 'event')}"
    if found.events:
        yield ""
        yield Table(("EVENT", "COUNT"), list(found.events.items()))
    if sagas.listed or sagas.ended:
        yield ""
        yield f"sagas: {sagas.started:,} started, {sagas.ended:,} ended, {sagas.status_changed:,} changed status"
    if sagas.listed:
        yield Table(("SAGA", "BEFORE", "AFTER"), [(saga.saga_id, saga.before, saga.after) for saga in sagas.listed])
    for view in found.views:
        if view.count:
            yield ""
            yield f"view {view.view}: {view.added:,} added, {view.changed:,} changed, {view.removed:,} removed"
            rows = [(_kind(row), " ".join(map(cell, row.key.values())), _what(row)) for row in view.rows]
            yield from [Table(("", "KEY", "WHAT"), rows)] if width is None else _rows(rows, width)


def _rows(rows: Iterable[tuple[str, str, str]], width: int) -> Iterable[Block]:
    for kind, key, what in rows:
        yield from wrapped(key, width, f"{kind} ")
        yield from wrapped(what, width, "    ")


def _moment(moment: LogMoment) -> str:
    return f"@{moment.position} ({show_instant(moment.recorded_at) or 'before the first event'})"


def _kind(row: RowChange) -> str:
    if row.before is None:
        return "+"
    return "-" if row.after is None else "~"


def _what(row: RowChange) -> str:
    """Return what changed of a row, or all that a row which was added or removed has."""
    before, after = row.before, row.after
    if before is None or after is None:
        values: Row = before or after or {}
        named = ((name, cell(value)) for name, value in values.items() if name not in row.key)
        return ", ".join(f"{name} {value}" for name, value in named if value)
    return ", ".join(f"{name} {_shown(before[name])} → {_shown(value)}" for name, value in after.items())


def _shown(value: Any) -> str:
    return cell(value) or "none"


def _remarks(found: LedgerChanges) -> Iterable[str]:
    changed_sagas = found.sagas.started + found.sagas.status_changed
    if changed_sagas > len(found.sagas.listed):
        yield f"only the first {len(found.sagas.listed):,} of {changed_sagas:,} sagas: --limit asks for more"
    for view in found.views:
        if view.count > len(view.rows):
            listed = f"{len(view.rows):,} of {view.count:,} rows"
            yield f"{view.view}: only the first {listed}: --limit asks for more"
    unchanged = [view.view for view in found.views if not view.count]
    if unchanged:
        yield f"nothing changed in {', '.join(unchanged)}"
    for reason in dict.fromkeys(found.not_compared.values()):
        names = [name for name, why in found.not_compared.items() if why == reason]
        yield f"not compared: {', '.join(names)}: {reason}"
