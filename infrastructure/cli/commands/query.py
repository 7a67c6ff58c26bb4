"""`query`: rows of a view, with the position that they belong to."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from ....projections.projection import Row
from ...ledger.freshness import freshness, head_position
from ...ledger.ledger import Ledger
from ...ledger.view_operations import query_at, view_columns
from ..arguments import POSITION, WAIT_SECONDS
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer, jsonable_row, say
from ..output.progress import progress
from ..output.remarks import freshness_remark
from ..output.table import Table
from ..output.text import counted
from ..output.timestamps import read_moment
from ..session import bring_views_up, open_ledger
from ..usage import UsageError


def query(
    view: str,
    /,
    *,
    where: Annotated[
        list[str] | None,
        Parameter(
            negative="", help="Only rows whose column has this value, as COLUMN=VALUE; COLUMN= for none. Repeatable."
        ),
    ] = None,
    order: Annotated[
        list[str] | None,
        Parameter(negative="", help="Order by this column; descending with - before it.", allow_leading_hyphen=True),
    ] = None,
    limit: Annotated[int, Parameter(help="The most rows.")] = 100,
    wait_for: Annotated[
        int | None, Parameter(help="Answer only when the view has reached this position.", validator=POSITION)
    ] = None,
    timeout: Annotated[float, Parameter(help="How many seconds to wait for it.", validator=WAIT_SECONDS)] = 10.0,
    at: Annotated[
        str | None,
        Parameter(
            help="As the view was at this time, such as 2026-03-01T02:17:05Z, or at this position. Needs its app."
        ),
    ] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Rows of a view.

    Parameters
    ----------
    view
        The view's name, such as sagas or orders (`sagaledger projections` shows them all).
    """
    if at is not None and wait_for is not None:
        raise UsageError("--at asks for the past and --wait-for for what is to come: give one of them")
    asked = {"where": dict(_condition(text) for text in where or ()), "order": order or (), "limit": limit}
    with open_ledger(options) as ledger:
        names = list(view_columns(ledger.context, view))
        if at is not None:
            document, remark = _past(ledger, view, at, asked)
        else:
            document, remark = _present(
                ledger, view, {**asked, "wait_for": wait_for, "timeout_seconds": timeout}, options
            )
    rows: list[Row] = document["rows"]
    answer(options, document, lambda: [Table(names, [[row[name] for name in names] for row in rows])])
    if not options.json:
        say(remark)
        if len(rows) == limit:
            say(f"only the first {counted(limit, 'row')}: --limit asks for more, --where for fewer")
    return ExitCode.OK


def _present(ledger: Ledger, view: str, asked: dict[str, Any], options: Options) -> tuple[Row, str]:
    """Return the rows of the view as it is."""
    bring_views_up(ledger)
    found = ledger.query(view, **asked)
    as_of = freshness(ledger.context, view, found.as_of_position, found.head_position, lag_seconds=found.lag_seconds)
    document = {name: getattr(found, name) for name in found.__struct_fields__}
    return {**document, "rows": [jsonable_row(row) for row in found.rows]}, freshness_remark(as_of, options)


def _past(ledger: Ledger, view: str, at: str, asked: dict[str, Any]) -> tuple[Row, str]:
    """Return the rows of the view as it was: folded again from the events that it had folded by then."""
    with progress(f"folding {view}") as report:
        found = query_at(ledger.context, view, read_moment(at), report=report, **asked)
    head = head_position(ledger.context)
    document = {
        "view": view,
        "at": at,
        "as_of_position": found.as_of_position,
        "head_position": head,
        "lag_events": head - found.as_of_position,
        "rows": [jsonable_row(row) for row in found.rows],
    }
    return document, f"{view}: as it was at {at}, position {found.as_of_position}; head {head}"


def _condition(text: str) -> tuple[str, Any]:
    column, separator, value = text.partition("=")
    if not (column and separator):
        raise UsageError(f"--where {text!r} is not of the form COLUMN=VALUE")
    return column, value or None
