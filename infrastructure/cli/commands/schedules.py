"""`schedules`: sagas that start at the times of a cron expression, and deciding about them as a person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeAlias

from cyclopts import App, Parameter

from ....domain.errors import DefinitionError
from ....domain.recorded_event import RecordedEvent
from ...ledger.ledger import Ledger
from ...ledger.schedule_documents import schedule_document
from ...ledger.schedules import NEXT_TICKS_MAX, ScheduleInfo
from ..arguments import Actor, Reason, between, stated
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer, jsonable, jsonable_row, say
from ..output.event_text import describe
from ..output.remarks import worker_remark
from ..output.table import Table
from ..output.timestamps import json_instant, read_instant, show_instant
from ..session import actor_or_user, app_name, open_ledger

COLUMNS = ("schedule", "status", "cron", "timezone", "saga", "next_tick", "last_tick", "last_saga_id", "waiting")
EVENT_COLUMNS = ("recorded_at", "position", "event", "detail", "actor")
EVENTS_SHOWN = 20
NEXT_SHOWN = 5

ScheduleName: TypeAlias = Annotated[str, Parameter(help="The schedule's name.")]

app = App(name="schedules")


@app.command(name="list")
def list_(*, options: Options = DEFAULTS) -> ExitCode:
    """The schedules of this ledger, and when each starts its saga next."""
    with open_ledger(options) as ledger:
        rows = [_row(info, options) for info in ledger.schedules.list()]
    document = {"schedules": [jsonable_row(row) for row in rows]}
    answer(options, document, lambda: [Table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows])])
    return ExitCode.OK


@app.command
def show(
    name: ScheduleName,
    /,
    *,
    count: Annotated[
        int, Parameter(name="--next", help="How many of the next ticks to show.", validator=between(1, NEXT_TICKS_MAX))
    ] = NEXT_SHOWN,
    options: Options = DEFAULTS,
) -> ExitCode:
    """One schedule: what is declared, its next ticks, and what happened last."""
    with open_ledger(options) as ledger:
        row = _row(ledger.schedules.get(name), options)
        ticks = _next_ticks(ledger, name, count)
        latest = ledger.schedules.history(name, last=EVENTS_SHOWN)
    document = {
        **jsonable_row(row),
        "next_ticks": [json_instant(tick) for tick in ticks],
        "events": latest[-1].version,
        "latest": [_event_document(recorded) for recorded in latest],
    }
    answer(options, document, lambda: [*_lines(row, ticks), _events_table(latest)])
    return ExitCode.OK


@app.command
def pause(name: ScheduleName, /, *, reason: Reason, actor: Actor = None, options: Options = DEFAULTS) -> ExitCode:
    """Stop a schedule's times until it is resumed. Triggers and backfills still start."""
    return _decide(name, "paused", reason, actor, options, lambda ledger: ledger.schedules.pause)


@app.command
def resume(name: ScheduleName, /, *, reason: Reason, actor: Actor = None, options: Options = DEFAULTS) -> ExitCode:
    """Let a paused schedule go on. The ticks of the pause do not start."""
    return _decide(name, "resumed", reason, actor, options, lambda ledger: ledger.schedules.resume)


@app.command
def trigger(name: ScheduleName, /, *, reason: Reason, actor: Actor = None, options: Options = DEFAULTS) -> ExitCode:
    """Start the saga of a schedule once, now. A worker whose app declares the schedule does it."""
    who, why = actor_or_user(actor), stated(reason)
    with open_ledger(options) as ledger:
        saga_id = ledger.schedules.trigger(name, actor=who, reason=why)
        remark = worker_remark(ledger, options)
    document = {"schedule": name, "saga_id": saga_id, "actor": who}
    answer(options, document, lambda: [f"{name}: a worker starts it as {saga_id}"])
    if remark:
        say(remark)
    return ExitCode.OK


@app.command
def backfill(
    name: ScheduleName,
    /,
    *,
    since: Annotated[str, Parameter(name="--from", help="The first instant, in UTC unless it has an offset.")],
    until: Annotated[str, Parameter(name="--to", help="The last instant.")],
    reason: Reason,
    actor: Actor = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Start the sagas of past ticks that were never started: those missed, skipped, or before the schedule existed."""
    who, why = actor_or_user(actor), stated(reason)
    begin, end = read_instant(since), read_instant(until)
    with open_ledger(options) as ledger:
        asked = ledger.schedules.backfill(name, begin, end, actor=who, reason=why)
        remark = worker_remark(ledger, options) if asked.ticks else None
    document = {
        "schedule": name,
        "position": asked.position,
        "ticks": [json_instant(tick) for tick in asked.ticks],
        "actor": who,
    }
    span = f" ({show_instant(asked.ticks[0])} to {show_instant(asked.ticks[-1])})" if asked.ticks else ""
    answer(options, document, lambda: [f"{name}: {len(asked.ticks):,} ticks are to start{span}"])
    if remark:
        say(remark)
    return ExitCode.OK


def _next_ticks(ledger: Ledger, name: str, count: int) -> list[datetime]:
    """Return the next ticks; none, with the reason on stderr, if they cannot be computed here."""
    try:
        return list(ledger.schedules.next_ticks(name, count))
    except DefinitionError as error:
        say(str(error))
        return []


def _decide(
    name: str,
    what: str,
    reason: str,
    actor: str | None,
    options: Options,
    operation: Callable[[Ledger], Callable[..., int]],
) -> ExitCode:
    who, why = actor_or_user(actor), stated(reason)
    with open_ledger(options) as ledger:
        position = operation(ledger)(name, actor=who, reason=why)
    document = {"schedule": name, "status": what, "actor": who, "position": position}
    answer(options, document, lambda: [f"{name} is {what} (position {position})"])
    return ExitCode.OK


def _row(info: ScheduleInfo, options: Options) -> dict[str, Any]:
    return schedule_document(info, app_in_use=app_name(options) is not None)


def _lines(row: dict[str, Any], ticks: list[datetime]) -> list[str]:
    catch_up = row["catch_up"]
    within = f"{row['catch_up_seconds']:g} seconds" if row["catch_up_seconds"] is not None else catch_up.value
    lines = [
        f"{row['schedule']}: {row['status']}, {row['cron']} ({row['timezone']})",
        f"starts {row['saga']} version {row['saga_version']}; overlap {row['overlap'].value}, catch up {within}",
    ]
    if row["paused_at"] is not None:
        lines.append(f"paused {show_instant(row['paused_at'])} by {row['paused_by']}: {row['pause_reason']}")
    lines.append(f"{row['started']:,} started, {row['skipped']:,} skipped, {row['waiting']:,} waiting")
    return [*lines, *(f"next {show_instant(tick)}" for tick in ticks)]


def _events_table(events: Sequence[RecordedEvent]) -> Table:
    rows = []
    for recorded in events:
        text = describe(recorded.event)
        rows.append([recorded.recorded_at, recorded.position, text.event, text.detail, recorded.meta.actor])
    return Table(EVENT_COLUMNS, rows)


def _event_document(recorded: RecordedEvent) -> dict[str, Any]:
    text = describe(recorded.event)
    return {
        "recorded_at": jsonable(recorded.recorded_at),
        "position": recorded.position,
        "event": text.event,
        "data": recorded.event,
        "actor": recorded.meta.actor,
    }
