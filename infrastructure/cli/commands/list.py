"""`list`: sagas by status, definition and time, page by page."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from cyclopts import Parameter

from ....projections.projection import Row
from ...ledger.freshness import freshness, head_position
from ...ledger.ledger import Ledger
from ...ledger.saga_listing import SagaCursor, SagaFilter, each_saga
from ...ledger.saga_listing import list_sagas as page_of_sagas
from ...ledger.view_operations import view_columns
from ...read_models import relative_time
from ...read_models.condition import read_condition
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer, jsonable_row, say
from ..output.remarks import freshness_remark
from ..output.row_files import RowFile, RowFormat, chosen_format
from ..output.saga_list import saga_list
from ..output.table import Table
from ..output.text import counted
from ..output.timestamps import read_past
from ..session import bring_views_up, open_ledger

COLUMNS = ("saga_id", "status", "started_at", "seconds", "events", "findings", "step", "error")
SAGAS_SHOWN = 50
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
    attr: Annotated[
        list[str] | None,
        Parameter(
            negative="", help="Only sagas with this search attribute, such as customer=C-1 or 'total>100'. Repeatable."
        ),
    ] = None,
    limit: Annotated[
        int | None,
        Parameter(help=f"The most sagas of one page [default: {SAGAS_SHOWN}; every one of csv and ndjson]."),
    ] = None,
    after: Annotated[str | None, Parameter(help="The cursor that the page before ended with.")] = None,
    format: Annotated[  # noqa: A002 -- it is the option's name
        RowFormat | None, Parameter(help="A table, one JSON object, or a file of CSV or of a JSON object a line.")
    ] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Sagas, newest first, by status, definition, time and search attributes.

    Times are UTC unless they have an offset; 7d is seven days ago (s, m, h, d, w).
    """
    chosen = chosen_format(options, format)
    wanted = SagaFilter(
        status,
        definition,
        None if since is None else read_past(since),
        None if until is None else read_past(until),
        relative_time.utc_now() if stalled else None,
        [read_condition(text) for text in attr] if attr else None,
    )
    cursor = None if after is None else SagaCursor.parse(after)
    with open_ledger(options) as ledger:
        bring_views_up(ledger)
        if chosen in ("csv", "ndjson"):
            return _write_file(ledger, wanted, limit, cursor, chosen, options)
        page = page_of_sagas(ledger.context, wanted, limit=SAGAS_SHOWN if limit is None else limit, after=cursor)
        found = freshness(ledger.context, page.view, page.position, page.head_position)
    document = {
        "sagas": [jsonable_row(row) for row in page.rows],
        "as_of_position": page.position,
        "head_position": page.head_position,
        "lag_events": found.lag_events,
        "next": None if page.next is None else str(page.next),
    }
    as_json = replace(options, json=chosen == "json")
    answer(
        as_json,
        document,
        lambda: [_table(page.rows)],
        lambda width: saga_list(page.rows, relative_time.utc_now(), width),
    )
    if chosen != "json":
        say(freshness_remark(found, options))
        if page.next is not None:
            say(f"there are more: add --after {page.next}")
    return ExitCode.OK


def _write_file(
    ledger: Ledger,
    wanted: SagaFilter,
    limit: int | None,
    after: SagaCursor | None,
    chosen: RowFormat,
    options: Options,
) -> ExitCode:
    """Write the sagas as a file: every column of the view `sagas`."""
    with RowFile(view_columns(ledger.context, "sagas"), chosen) as file:
        with each_saga(ledger.context, wanted, limit=limit, after=after) as (checkpoint, rows):
            count = file.fill(rows)
        head = max(head_position(ledger.context), checkpoint.position)
        found = freshness(ledger.context, checkpoint.view, checkpoint.position, head)
        file.write_answer()
    say(freshness_remark(found, options))
    if count == limit:
        say(f"only the first {counted(count, 'saga')}: --limit asks for more, or leave it out")
    return ExitCode.OK


def _table(rows: list[Row]) -> Table:
    """The sagas; with the column `findings` only if one has events that its choreography does not allow."""
    shown = [_shown(row) for row in rows]
    columns = [name for name in COLUMNS if name != "findings" or any(row["findings"] for row in shown)]
    return Table(columns, [[row[name] for name in columns] for row in shown])


def _shown(row: Row) -> Row:
    seconds = None if row["ended_at"] is None else round((row["ended_at"] - row["started_at"]).total_seconds(), 3)
    step = row["current_step"] or row["failed_step"]
    return {**row, "seconds": seconds, "step": step, "findings": row["findings"] or None}
