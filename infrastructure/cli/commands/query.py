"""`query`: rows of a view, with the position that they belong to."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, NamedTuple

from cyclopts import Parameter

from ....projections.projection import Row
from ...ledger.freshness import freshness, head_position
from ...ledger.ledger import Ledger
from ...ledger.moment import Moment
from ...ledger.past_views import each_past_row, query_at
from ...ledger.view_operations import view_columns
from ...read_models.condition import RowCondition, read_condition
from ...read_models.filter import STREAMED_ROWS_MAX, Filter
from ..arguments import POSITION, WAIT_SECONDS
from ..exit_codes import ExitCode
from ..options import DEFAULTS, AtLogMoment, Options, read_moment
from ..output.answer import answer, jsonable_row, say
from ..output.progress import progress
from ..output.remarks import freshness_remark
from ..output.row_files import RowFile, RowFormat, chosen_format
from ..output.row_screen import rows_on_screen
from ..output.table import Table
from ..output.text import counted
from ..session import bring_views_up, open_ledger
from ..usage import UsageError

ROWS_SHOWN = 100
"""How many rows are shown unless `--limit` says otherwise. A file has all of them."""


class _Asked(NamedTuple):
    """What was asked of a view."""

    view: str
    where: list[RowCondition]
    attributes: list[RowCondition] | None
    order: list[str]
    limit: int | None
    at: Moment | None
    wait_for: int | None
    timeout_seconds: float

    @property
    def filter(self) -> Filter:
        """What is asked, of a reader that streams."""
        return Filter(self.where, self.order, self.limit, None, self.attributes, limit_max=STREAMED_ROWS_MAX)


def query(
    view: str,
    /,
    *conditions: str,
    where: Annotated[
        list[str] | None,
        Parameter(negative="", help="The same as a CONDITION: COLUMN=VALUE, for example. Repeatable."),
    ] = None,
    attr: Annotated[
        list[str] | None,
        Parameter(negative="", help="Only rows whose saga has this search attribute, as NAME=VALUE. Repeatable."),
    ] = None,
    order: Annotated[
        list[str] | None,
        Parameter(negative="", help="Order by this column; descending with - before it.", allow_leading_hyphen=True),
    ] = None,
    limit: Annotated[
        int | None, Parameter(help=f"The most rows [default: {ROWS_SHOWN}; every row of csv and ndjson].")
    ] = None,
    wait_for: Annotated[
        int | None, Parameter(help="Answer only when the view has reached this position.", validator=POSITION)
    ] = None,
    timeout: Annotated[float, Parameter(help="How many seconds to wait for it.", validator=WAIT_SECONDS)] = 10.0,
    at: AtLogMoment = None,
    format: Annotated[  # noqa: A002 -- it is the option's name
        RowFormat | None, Parameter(help="A table, one JSON object, or a file of CSV or of a JSON object a line.")
    ] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Rows of a view.

    Parameters
    ----------
    view
        The view's name, such as sagas or orders (`sagaledger projections` shows them all).
    conditions
        Which rows, such as 'total>100', 'status in a,b', 'country like F%', 'started_at>7d' or 'customer_id is null':
        all must hold. A time is in ISO 8601, or 7d for seven days ago (s, m, h, d, w).
    """
    if at is not None and wait_for is not None:
        raise UsageError("--at asks for the past and --wait-for for what is to come: give one of them")
    if at is not None and attr:
        raise UsageError("--attr finds sagas by what is recorded now, and --at asks for the past: give one of them")
    chosen = chosen_format(options, format)
    asked = _Asked(
        view,
        [read_condition(text) for text in (*conditions, *(where or ()))],
        [read_condition(text) for text in attr] if attr else None,
        order or [],
        limit if limit is not None or chosen in ("csv", "ndjson") else ROWS_SHOWN,
        None if at is None else read_moment(at),
        wait_for,
        timeout,
    )
    with open_ledger(options) as ledger:
        names = list(view_columns(ledger.context, view))
        if chosen in ("csv", "ndjson"):
            remark, count = _write_file(ledger, asked, names, chosen, options)
        else:
            document, remark = _present(ledger, asked, options) if asked.at is None else _past(ledger, asked, asked.at)
            rows: list[Row] = document["rows"]
            count = len(rows)
            as_json = replace(options, json=chosen == "json")
            table = Table(names, [[row[name] for name in names] for row in rows])
            answer(
                as_json, document, lambda: [table], lambda width: rows_on_screen(table, width) if rows else ["no row"]
            )
    if chosen != "json":
        say(remark)
        if count == asked.limit:
            say(f"only the first {counted(count, 'row')}: --limit asks for more, a condition for fewer")
    return ExitCode.OK


def _write_file(
    ledger: Ledger, asked: _Asked, names: list[str], chosen: RowFormat, options: Options
) -> tuple[str, int]:
    """Write the rows as a file. Returns a remark on their position, and how many there are."""
    with RowFile(names, chosen) as file:
        if asked.at is not None:
            with (
                progress(f"folding {asked.view}") as report,
                each_past_row(ledger.context, asked.view, asked.at, asked.filter, report=report) as (then, rows),
            ):
                count = file.fill(rows)
            remark = _remark_on_past(asked, then.position, then.head_position)
        else:
            bring_views_up(ledger)
            found = ledger.context.queries.rows(
                asked.view, asked.filter, wait_for=asked.wait_for, timeout_seconds=asked.timeout_seconds
            )
            with found as (checkpoint, rows):
                count = file.fill(rows)
            head = max(head_position(ledger.context), checkpoint.position)
            remark = freshness_remark(freshness(ledger.context, checkpoint.view, checkpoint.position, head), options)
        file.write_answer()
    return remark, count


def _present(ledger: Ledger, asked: _Asked, options: Options) -> tuple[Row, str]:
    """Return the rows of the view as it is."""
    bring_views_up(ledger)
    found = ledger.query(
        asked.view,
        where=asked.where,
        attributes=asked.attributes,
        order=asked.order,
        limit=ROWS_SHOWN if asked.limit is None else asked.limit,
        wait_for=asked.wait_for,
        timeout_seconds=asked.timeout_seconds,
    )
    as_of = freshness(
        ledger.context, asked.view, found.as_of_position, found.head_position, lag_seconds=found.lag_seconds
    )
    document = {name: getattr(found, name) for name in found.__struct_fields__}
    return {**document, "rows": [jsonable_row(row) for row in found.rows]}, freshness_remark(as_of, options)


def _past(ledger: Ledger, asked: _Asked, at: Moment) -> tuple[Row, str]:
    """Return the rows of the view as it was: folded again from the events that it had folded by then."""
    with progress(f"folding {asked.view}") as report:
        found = query_at(
            ledger.context,
            asked.view,
            at,
            report=report,
            where=asked.where,
            order=asked.order,
            limit=ROWS_SHOWN if asked.limit is None else asked.limit,
        )
    document = {name: getattr(found, name) for name in found.__struct_fields__}
    document |= {"at": str(at), "rows": [jsonable_row(row) for row in found.rows]}
    return document, _remark_on_past(asked, found.as_of_position, found.head_position)


def _remark_on_past(asked: _Asked, position: int, head: int) -> str:
    remark = f"{asked.view}: as it was at {asked.at}, as of position {position}"
    if position == head:
        return remark
    return f"{remark}, {counted(head - position, 'event')} behind the log, which --at @{head} shows"
