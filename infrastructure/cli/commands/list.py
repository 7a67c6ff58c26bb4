"""`list`: sagas by status, definition and time, page by page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, NamedTuple

from cyclopts import Parameter

from ....domain.choreography.derived_saga import CHOREOGRAPHED
from ....projections.projection import Row
from ...ledger.ledger import Ledger
from ...read_models.filter import Filter, select_rows
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.freshness import follow_if_unattended, standing_remark
from ..output.output import answer, jsonable, say
from ..output.table import Table
from ..output.timestamps import json_instant, read_instant
from ..session import open_ledger
from ..usage import UsageError

COLUMNS = ("saga_id", "status", "started_at", "seconds", "events", "findings", "step", "error")
StatusName = Literal[
    "running", "waiting", "compensating", "completed", "compensated", "needs_intervention", "abandoned"
]


def list_sagas(
    *,
    status: Annotated[StatusName | None, Parameter(help="Only sagas that stand so.")] = None,
    definition: Annotated[str | None, Parameter(help="Only sagas of this definition.")] = None,
    stalled: Annotated[
        bool, Parameter(negative="", help="Only choreographed sagas that have been silent for too long.")
    ] = False,
    since: Annotated[str | None, Parameter(help="Only sagas started at this time or later.")] = None,
    until: Annotated[str | None, Parameter(help="Only sagas started before this time.")] = None,
    limit: Annotated[int, Parameter(help="The most sagas of one page.")] = 50,
    after: Annotated[str | None, Parameter(help="The cursor that the page before ended with.")] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Sagas, newest first, by status, definition and time. Times are UTC unless they say otherwise."""
    where = {"status": status, "definition": definition, "style": CHOREOGRAPHED if stalled else None}
    asked = Filter(
        {name: value for name, value in where.items() if value is not None},
        ("-started_at",),
        limit,
        None if after is None else _read_cursor(after),
    )
    with open_ledger(options) as ledger:
        follow_if_unattended(ledger)
        page = _page(ledger, asked, _bound(since), _bound(until), datetime.now(UTC) if stalled else None)
        remark = standing_remark(ledger, "sagas", page.position, page.head, options)
    following = _cursor(page.rows[-1]) if len(page.rows) == limit else None
    document = {
        "sagas": [{name: jsonable(value) for name, value in row.items()} for row in page.rows],
        "as_of_position": page.position,
        "head_position": page.head,
        "lag_events": page.head - page.position,
        "next": following,
    }
    answer(options, document, lambda: [_table(page.rows)])
    if not options.json:
        say(remark)
        if following:
            say(f"there are more: add --after {following}")
    return ExitCode.OK


def _bound(text: str | None) -> datetime | None:
    return None if text is None else read_instant(text)


def _table(rows: list[Row]) -> Table:
    """The sagas; with how many events of theirs their choreography does not allow, if there is one."""
    shown = [_shown(row) for row in rows]
    columns = [name for name in COLUMNS if name != "findings" or any(row["findings"] for row in shown)]
    return Table(columns, [[row[name] for name in columns] for row in shown], flexible=("error", "step"))


def _shown(row: Row) -> Row:
    took = None if row["ended_at"] is None else round((row["ended_at"] - row["started_at"]).total_seconds(), 3)
    step = row["current_step"] or row["failed_step"]
    return {**row, "seconds": took, "step": step, "findings": row["findings"] or None}


class _Page(NamedTuple):
    """Sagas, the position of the view that they were read at, and the log's head."""

    rows: list[Row]
    position: int
    head: int


def _page(
    ledger: Ledger, asked: Filter, since: datetime | None, until: datetime | None, stalled_at: datetime | None
) -> _Page:
    sagas = ledger.context.queries.projection("sagas")
    started_at = sagas.table.c.started_at
    wanted = select_rows(sagas.table, asked)
    if since is not None:
        wanted = wanted.where(started_at >= since)
    if until is not None:
        wanted = wanted.where(started_at < until)
    if stalled_at is not None:
        wanted = wanted.where(sagas.table.c.stalls_at < stalled_at)
    with ledger.context.queries.snapshot(sagas) as (connection, standing):
        rows = [dict(row) for row in connection.execute(wanted).mappings()]
    return _Page(rows, standing.position, max(ledger.backend.head().position, standing.position))


def _cursor(row: Row) -> str:
    """Where a page ends: the time and the id of its last saga."""
    return f"{json_instant(row['started_at'])},{row['saga_id']}"


def _read_cursor(text: str) -> Row:
    started_at, separator, saga_id = text.partition(",")
    if not separator:
        raise UsageError(f"--after {text!r} is no cursor: take the one that the page before ended with")
    return {"started_at": read_instant(started_at), "saga_id": saga_id}
