"""One saga in a pipe: its status, every attempt of every step, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ....domain.saga.events import CancelRequested, Direction, InterventionResolved, SignalReceived, SignalRejected
from ....domain.saga.state import SagaState
from ....projections.projection import Row
from ...ledger.process_report import ProcessReport
from ...ledger.saga_overview import SagaOverview
from .answer import Block
from .event_text import cut, describe, shown
from .table import Table
from .text import counted, one_line
from .timeline import BACK
from .timestamps import show_instant

ATTEMPTS = (
    "step", "attempt", "status", "started_at", "seconds", "retry_at", "waits_for", "waits_until", "approvals",
    "approved_by", "worker", "progress", "error",
)  # fmt: skip
TONES = {"failed": "red", "unknown": "red", "succeeded": None, "started": "bold"}


def saga_text(overview: SagaOverview, steps: list[str]) -> Iterable[Block]:
    """Yield the blocks for a pipe; `steps` are the lines under `next`."""
    state, process = overview.state, overview.process
    no_way_back = state.past_pivot and state.end is None
    yield f"{state.saga_id}  {state.status.value}{', past its pivot' if no_way_back else ''}"
    for name, value in (*_properties(overview), *(() if process is None else _process_lines(process))):
        if value:
            yield f"  {name:<11} {value}"
    attempts = notable_attempts(state, overview.attempts)
    if attempts:
        yield ""
        yield _attempts_table(attempts)
    yield from next_block(steps)


def next_block(steps: list[str]) -> Iterable[str]:
    """Yield the lines under `next`."""
    if steps:
        yield ""
        yield "next"
        yield from (f"  {line}" for line in steps)


def _attempts_table(attempts: list[Row]) -> Table:
    """The attempts, without the columns that are empty."""
    rows = [_shown_attempt(row) for row in attempts]
    columns = [name for name in ATTEMPTS if any(row[name] is not None for row in rows)]
    styles = {index: tone for index, row in enumerate(attempts) if (tone := TONES.get(row["status"]))}
    cells = [[row[name] for name in columns] for row in rows]
    return Table(columns, cells, styles)


def _shown_attempt(row: Row) -> Row:
    progress = row["progress"]
    return {
        **row,
        "step": _marked(row),
        "seconds": _seconds(row["started_at"], row["ended_at"]),
        "approvals": _approvals(row),
        "progress": None if progress is None else cut(progress),
    }


def _marked(row: Row) -> str:
    return f"{BACK}{row['step']}" if row["direction"] == Direction.COMPENSATION else str(row["step"])


def _approvals(row: Row) -> str | None:
    return None if row["approvals_needed"] is None else f"{row['approvals']} of {row['approvals_needed']}"


def _seconds(started_at: datetime, ended_at: datetime | None) -> float | None:
    return None if ended_at is None else round((ended_at - started_at).total_seconds(), 3)


def _properties(overview: SagaOverview) -> Iterable[tuple[str, str]]:
    state, events = overview.state, overview.events
    yield "definition", f"{state.definition} version {state.definition_version} ({state.fingerprint}), {state.style}"
    yield "started", f"{show_instant(state.started_at)} by {events[0].meta.actor or 'an unnamed actor'}"
    yield "ended", _ended(state)
    yield "begins", show_instant(state.begins_at)
    yield "deadline", show_instant(state.deadline)
    yield "cause", one_line(state.cause or "")
    yield "failed", one_line(": ".join(filter(None, (overview.failed_step, overview.error))))
    for each in events:
        if isinstance(each.event, CancelRequested | InterventionResolved | SignalReceived | SignalRejected):
            text = describe(each.event)
            yield "operated", f"{show_instant(each.recorded_at)} {text.event} {text.step or ''} {text.detail}"
    yield "input", shown(state.input)
    for name, values in overview.attributes.items():
        yield "found by", one_line(f"{name}={', '.join(values)}")
    for name, items in state.items.items():
        yield "items", f"{name}: {items.ended:,} of {counted(items.total, 'item')} ended, {len(items.open):,} under way"
        if items.total > ITEMS_SHOWN:
            yield "", f"below are the latest attempts that did not succeed, at most {ITEM_ATTEMPTS_SHOWN}"
    yield "result", "" if state.result is None else shown(state.result)
    yield "events", f"{counted(len(events), 'event')}, positions {events[0].position} to {events[-1].position}"


ITEMS_SHOWN = 20
"""Of a for-each step with more items than this, only the attempts are shown that did not succeed."""


ITEM_ATTEMPTS_SHOWN = 100
"""The most attempts at items that are shown of such steps."""


def notable_attempts(state: SagaState, attempts: list[Row]) -> list[Row]:
    """Return the attempts without those at items of long lists that succeeded, or were made before the latest ones."""
    of_items = [row for row in attempts if _is_of_long_list(state, row)]
    if not of_items:
        return attempts
    left_out = {id(row) for row in of_items if row["status"] == "succeeded"}
    notable = [row for row in of_items if id(row) not in left_out]
    left_out.update(id(row) for row in notable[:-ITEM_ATTEMPTS_SHOWN])
    return [row for row in attempts if id(row) not in left_out]


def _is_of_long_list(state: SagaState, row: Row) -> bool:
    item = state.item(row["step"])
    return item is not None and state.items[item[0]].total > ITEMS_SHOWN


def _ended(state: SagaState) -> str:
    if state.started_at is None or state.ended_at is None:
        return ""
    return f"{show_instant(state.ended_at)}, after {_seconds(state.started_at, state.ended_at)} seconds"


def _process_lines(report: ProcessReport) -> Iterable[tuple[str, str]]:
    if report.waits_for is not None:
        yield "waits for", f"{report.waits_for}, which service {report.service} owes"
    if report.is_stalled and report.silent_since is not None and report.stalls_at is not None:
        allowed = (report.stalls_at - report.silent_since).total_seconds()
        yield (
            "STALLED",
            f"no event since {show_instant(report.silent_since)}; {allowed:g} seconds are allowed",
        )
    for finding in report.findings:
        yield "FINDING", f"{finding.topic} at position {finding.position} {finding.problem}"
