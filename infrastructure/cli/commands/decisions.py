"""`decisions`: who decided what, why, and what there was to decide on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ....domain.saga.state import SagaState
from ....projections.projection import Row
from ...audit.decisions import DecisionFilter, read_decisions, states_before
from ...ledger.freshness import freshness
from ...read_models.condition import read_condition
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer, jsonable_row, say
from ..output.documents import state_document
from ..output.remarks import freshness_remark
from ..output.table import Table
from ..output.text import counted
from ..output.timestamps import read_past
from ..session import bring_views_up, open_ledger

DECISIONS_SHOWN = 50
COLUMNS = ("decided_at", "saga_id", "step", "action", "actor", "reason", "saw")
DecidedAction = Literal["approve", "refuse", "signal", "cancel", "retry", "skip", "resolve", "abandon"]


def decisions(
    saga_id: str | None = None,
    /,
    *,
    action: Annotated[DecidedAction | None, Parameter(help="Only decisions of this kind.")] = None,
    step: Annotated[str | None, Parameter(help="Only decisions about this step.")] = None,
    actor: Annotated[str | None, Parameter(help="Only decisions of this actor.")] = None,
    since: Annotated[str | None, Parameter(help="Only decisions at this time or later.")] = None,
    until: Annotated[str | None, Parameter(help="Only decisions before this time.")] = None,
    attr: Annotated[
        list[str] | None,
        Parameter(negative="", help="Only about sagas with this search attribute, such as customer=C-1. Repeatable."),
    ] = None,
    limit: Annotated[int, Parameter(help="The most decisions.")] = DECISIONS_SHOWN,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Who decided what, why, and what there was to decide on; the latest first.

    Decisions are approvals and refusals, signals, cancelling, and how a step that needed a person goes on. With --json
    each has the saga's whole state that preceded it; otherwise `saw` is the version of that state.

    Parameters
    ----------
    saga_id
        Only decisions about this saga.
    """
    wanted = DecisionFilter(
        saga_id,
        action,
        step,
        actor,
        None if since is None else read_past(since),
        None if until is None else read_past(until),
        [read_condition(text) for text in attr] if attr else None,
    )
    with open_ledger(options) as ledger:
        bring_views_up(ledger)
        page = read_decisions(ledger.context, wanted, limit=limit)
        found = freshness(
            ledger.context, page.view, page.as_of_position, page.head_position, lag_seconds=page.lag_seconds
        )
        seen = states_before(ledger.context, page.rows) if options.json else ()  # text has their versions alone
    document = {
        "decisions": [_document(row, saw) for row, saw in zip(page.rows, seen, strict=False)],
        "as_of_position": page.as_of_position,
        "head_position": page.head_position,
        "lag_events": page.lag_events,
    }
    answer(options, document, lambda: [_table(page.rows)], lambda _: [_on_screen(page.rows)])
    if not options.json:
        say(freshness_remark(found, options))
        if page.rows:
            latest = page.rows[0]
            look = options.again("state", latest["saga_id"], "--at", f"v{latest['version'] - 1}")
            say(f"what the actor of the first one saw: {look}")
        if len(page.rows) == limit:
            say(f"only the latest {counted(limit, 'decision')}: --limit asks for more, another option for fewer")
    return ExitCode.OK


def _document(row: Row, saw: SagaState | None) -> dict[str, Any]:
    return {**jsonable_row(row), "saw": None if saw is None else state_document(saw)}


def _table(decided: list[Row]) -> Table:
    rows = [{**row, "saw": f"v{row['version'] - 1}"} for row in decided]
    return Table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows])


def _on_screen(decided: list[Row]) -> Table:
    """The decisions, each with its reason on lines of its own."""
    plain = _table(decided)
    at = COLUMNS.index("reason")
    notes = {index: [row[at]] for index, row in enumerate(plain.rows) if row[at]}
    rows = [[*row[:at], *row[at + 1 :]] for row in plain.rows]
    return Table([*COLUMNS[:at], *COLUMNS[at + 1 :]], rows, notes=notes)
