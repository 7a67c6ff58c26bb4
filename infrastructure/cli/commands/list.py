"""`list`: sagas by status, definition and time, page by page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from cyclopts import Parameter

from ....projections.projection import Row
from ...ledger.freshness import freshness
from ...ledger.saga_listing import SagaCursor, SagaFilter
from ...ledger.saga_listing import list_sagas as page_of_sagas
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer, jsonable_row, say
from ..output.remarks import freshness_remark
from ..output.table import Table
from ..output.timestamps import read_instant
from ..session import bring_views_up, open_ledger

COLUMNS = ("saga_id", "status", "started_at", "seconds", "events", "findings", "step", "error")
StatusName = Literal[
    "running", "waiting", "compensating", "completed", "compensated", "needs_intervention", "abandoned"
]


def list_sagas(
    *,
    status: Annotated[StatusName | None, Parameter(help="Only sagas of this status.")] = None,
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
    """Sagas, newest first, by status, definition and time. Times are UTC unless they have an offset."""
    wanted = SagaFilter(
        status,
        definition,
        None if since is None else read_instant(since),
        None if until is None else read_instant(until),
        datetime.now(UTC) if stalled else None,
    )
    cursor = None if after is None else SagaCursor.parse(after)
    with open_ledger(options) as ledger:
        bring_views_up(ledger)
        page = page_of_sagas(ledger.context, wanted, limit=limit, after=cursor)
        found = freshness(ledger.context, "sagas", page.position, page.head_position)
    document = {
        "sagas": [jsonable_row(row) for row in page.rows],
        "as_of_position": page.position,
        "head_position": page.head_position,
        "lag_events": found.lag_events,
        "next": None if page.next is None else str(page.next),
    }
    answer(options, document, lambda: [_table(page.rows)])
    if not options.json:
        say(freshness_remark(found, options))
        if page.next is not None:
            say(f"there are more: add --after {page.next}")
    return ExitCode.OK


def _table(rows: list[Row]) -> Table:
    """The sagas; with the column `findings` only if one has events that its choreography does not allow."""
    shown = [_shown(row) for row in rows]
    columns = [name for name in COLUMNS if name != "findings" or any(row["findings"] for row in shown)]
    return Table(columns, [[row[name] for name in columns] for row in shown], flexible=("error", "step"))


def _shown(row: Row) -> Row:
    seconds = None if row["ended_at"] is None else round((row["ended_at"] - row["started_at"]).total_seconds(), 3)
    step = row["current_step"] or row["failed_step"]
    return {**row, "seconds": seconds, "step": step, "findings": row["findings"] or None}
