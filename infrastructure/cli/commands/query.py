"""`query`: rows of a view, with the position that they stand at."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from ....projections.projection import Row
from ...ledger.ledger import Ledger
from ...read_models.time_travel import view_at
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.freshness import follow_if_unattended, standing_remark
from ..output.output import answer, jsonable, say
from ..output.progress import progress
from ..output.table import Table
from ..output.text import counted
from ..output.timestamps import read_moment
from ..session import open_ledger
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
        Parameter(
            negative="", help="Order by this column, the last first with - before it.", allow_leading_hyphen=True
        ),
    ] = None,
    limit: Annotated[int, Parameter(help="The most rows.")] = 100,
    wait_for: Annotated[int | None, Parameter(help="Answer only when the view has reached this position.")] = None,
    timeout: Annotated[float, Parameter(help="How many seconds to wait for it.")] = 10.0,
    at: Annotated[
        str | None, Parameter(help="As the view was at this time, such as 2026-03-01T02:17:05Z, or at this position.")
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
    asked = dict(_condition(text) for text in where or ())
    with open_ledger(options) as ledger:
        names = list(ledger.context.queries.columns(view))
        if at is not None:
            document, remark = _then(ledger, view, at, where=asked, order=order or (), limit=limit)
        else:
            document, remark = _now(
                ledger, view, options,
                where=asked, order=order or (), limit=limit, wait_for=wait_for, timeout_seconds=timeout,
            )  # fmt: skip
    rows: list[Row] = document["rows"]
    answer(options, document, lambda: [Table(names, [[row[name] for name in names] for row in rows])])
    if not options.json:
        say(remark)
        if len(rows) == limit:
            say(f"only the first {counted(limit, 'row')}: --limit asks for more, --where for fewer")
    return ExitCode.OK


def _now(ledger: Ledger, view: str, options: Options, **asked: Any) -> tuple[Row, str]:
    follow_if_unattended(ledger)
    found = ledger.query(view, **asked)
    remark = standing_remark(
        ledger, view, found.as_of_position, found.head_position, options, lag_seconds=found.lag_seconds
    )
    document = {name: getattr(found, name) for name in found.__struct_fields__}
    return {**document, "rows": [_jsonable(row) for row in found.rows]}, remark


def _then(ledger: Ledger, view: str, at: str, **asked: Any) -> tuple[Row, str]:
    """What the view said then: folded again from the events that it had folded by then."""
    with progress(f"folding {view}") as report:
        found = view_at(
            ledger.context.queries,
            ledger.backend,
            ledger.context.codec,
            view,
            read_moment(at),
            **asked,
            progress=report,
        )
    head = ledger.backend.head().position
    document = {
        "view": view,
        "at": at,
        "as_of_position": found.as_of_position,
        "head_position": head,
        "lag_events": head - found.as_of_position,
        "rows": [_jsonable(row) for row in found.rows],
    }
    return document, f"{view}: as it was at {at}, position {found.as_of_position}; head {head}"


def _jsonable(row: Row) -> Row:
    return {name: jsonable(value) for name, value in row.items()}


def _condition(text: str) -> tuple[str, Any]:
    column, separator, value = text.partition("=")
    if not (column and separator):
        raise UsageError(f"--where {text!r} is not of the form COLUMN=VALUE")
    return column, value or None
