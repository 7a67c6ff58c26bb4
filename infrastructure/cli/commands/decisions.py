"""`decisions`: who decided what, why, and what there was to decide on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ...audit.decisions import RecordedDecision, read_decisions
from ...ledger.freshness import freshness
from ...read_models.condition import RowCondition, read_condition
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
    equal = {"saga_id": saga_id, "action": action, "step": step, "actor": actor}
    where = [RowCondition(name, "=", value) for name, value in equal.items() if value is not None]
    where += [RowCondition("decided_at", ">=", read_past(since))] if since is not None else []
    where += [RowCondition("decided_at", "<", read_past(until))] if until is not None else []
    attributes = [read_condition(text) for text in attr] if attr else None
    with open_ledger(options) as ledger:
        bring_views_up(ledger)
        page = read_decisions(ledger.context, where, attributes=attributes, limit=limit)
        found = freshness(ledger.context, "decisions", page.position, page.head_position, lag_seconds=page.lag_seconds)
    document = {
        "decisions": [_document(each) for each in page.decisions],
        "as_of_position": page.position,
        "head_position": page.head_position,
        "lag_events": found.lag_events,
    }
    answer(options, document, lambda: [_table(page.decisions)], lambda _: [_on_screen(page.decisions)])
    if not options.json:
        say(freshness_remark(found, options))
        if page.decisions:
            latest = page.decisions[0].row
            look = options.again("state", latest["saga_id"], "--at", f"v{latest['version'] - 1}")
            say(f"what the actor of the first one saw: {look}")
        if len(page.decisions) == limit:
            say(f"only the latest {counted(limit, 'decision')}: --limit asks for more, another option for fewer")
    return ExitCode.OK


def _document(decision: RecordedDecision) -> dict[str, Any]:
    saw = None if decision.saw is None else state_document(decision.saw)
    return {**jsonable_row(decision.row), "saw": saw}


def _table(listed: list[RecordedDecision]) -> Table:
    rows = [{**each.row, "saw": f"v{each.row['version'] - 1}"} for each in listed]
    return Table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows])


def _on_screen(listed: list[RecordedDecision]) -> Table:
    """The decisions, each with its reason on lines of its own."""
    plain = _table(listed)
    at = COLUMNS.index("reason")
    notes = {index: [row[at]] for index, row in enumerate(plain.rows) if row[at]}
    rows = [[*row[:at], *row[at + 1 :]] for row in plain.rows]
    return Table([*COLUMNS[:at], *COLUMNS[at + 1 :]], rows, notes=notes)
