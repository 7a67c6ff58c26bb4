"""`sql`: any question in SQL, of the views as they are or as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from ...audit.sql_questions import SqlAnswer, ask_sql, ask_sql_at
from ...ledger.freshness import head_position
from ...ledger.ledger import Ledger
from ...ledger.moment import Moment
from ...read_models.filter import STREAMED_ROWS_MAX
from ..exit_codes import ExitCode
from ..options import DEFAULTS, AtLogMoment, Options, read_moment
from ..output.answer import answer, jsonable_row, say
from ..output.progress import progress
from ..output.row_files import RowFile, RowFormat, chosen_format
from ..output.row_screen import rows_on_screen
from ..output.table import Table
from ..output.text import counted
from ..session import bring_views_up, open_ledger

ROWS_SHOWN = 100


def sql(
    statement: str,
    /,
    *,
    at: AtLogMoment = None,
    limit: Annotated[
        int | None, Parameter(help=f"The most rows [default: {ROWS_SHOWN}; every row of csv and ndjson].")
    ] = None,
    format: Annotated[  # noqa: A002 -- it is the option's name
        RowFormat | None, Parameter(help="A table, one JSON object, or a file of CSV or of a JSON object a line.")
    ] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Answer one SELECT on the ledger's database; it can only read.

    With --at, the views that it names are folded again from the log into a private SQLite database, all from the events
    up to the same position; its SQL is then SQLite's on PostgreSQL, too.

    Parameters
    ----------
    statement
        One SELECT, such as "SELECT status, count(*) AS sagas FROM sagas GROUP BY status".
    """
    chosen = chosen_format(options, format)
    is_file = chosen in ("csv", "ndjson")
    rows_max = limit if limit is not None else STREAMED_ROWS_MAX if is_file else ROWS_SHOWN
    moment = None if at is None else read_moment(at)
    with open_ledger(options) as ledger:
        with _answered(ledger, statement, moment, rows_max) as found:
            columns, positions = found.columns, found.positions
            if is_file:
                with RowFile(columns, chosen) as file:
                    count = file.fill(found.rows)
                    file.write_answer()
            else:
                rows = list(found.rows)
                count = len(rows)
        head = head_position(ledger.context)
    if not is_file:
        document = {
            "columns": columns,
            "rows": [jsonable_row(row) for row in rows],
            "as_of_positions": positions,
            "head_position": head,
        }
        as_json = replace(options, json=chosen == "json")
        table = Table(columns, [list(row.values()) for row in rows])
        answer(as_json, document, lambda: [table], lambda width: rows_on_screen(table, width))
    if chosen != "json":
        say(_remark(positions, head, moment))
        if count == rows_max:
            say(f"only the first {counted(count, 'row')}: --limit asks for more")
    return ExitCode.OK


@contextmanager
def _answered(ledger: Ledger, statement: str, at: Moment | None, limit: int) -> Iterator[SqlAnswer]:
    if at is None:
        bring_views_up(ledger)
        with ask_sql(ledger.context, statement, limit=limit) as found:
            yield found
        return
    with (
        progress("folding the views") as report,
        ask_sql_at(ledger.context, statement, at, limit=limit, report=report) as found,
    ):
        yield found


def _remark(positions: dict[str, int], head: int, at: Moment | None) -> str:
    """Say how far the views had come that were asked."""
    come = ", ".join(f"{view} at position {position}" for view, position in sorted(positions.items()))
    when = "now" if at is None else f"as it was at {at}"
    return f"{when}: {come or 'no view is named'}; head {head}"
