"""`schedules`: one row for each schedule, with what is declared, its last tick and its counts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Float, Integer, MetaData, Table, Text

from ...domain.recorded_event import RecordedEvent
from ...domain.schedule.events import (
    ScheduleDeclared,
    SchedulePaused,
    ScheduleResumed,
    ScheduleTicksSkipped,
    ScheduleTickStarted,
)
from ..column_types import UtcDateTime
from ..keys import Key
from ..projection import Projection, Row, existing

schedules = Projection(
    "schedules",
    version=1,
    table=Table(
        "schedules",
        MetaData(),
        Column("schedule", Text, primary_key=True),
        Column("status", Text, nullable=False),
        Column("cron", Text, nullable=False),
        Column("timezone", Text, nullable=False),
        Column("saga", Text, nullable=False),
        Column("saga_version", Integer, nullable=False),
        Column("overlap", Text, nullable=False),
        Column("catch_up", Text, nullable=False),
        Column("catch_up_seconds", Float),
        Column("declared_at", UtcDateTime, nullable=False),
        Column("last_tick", UtcDateTime),
        Column("last_saga_id", Text),
        Column("started", Integer, nullable=False),
        Column("skipped", Integer, nullable=False),
        Column("paused_at", UtcDateTime),
        Column("paused_by", Text),
        Column("pause_reason", Text),
    ),
)

ACTIVE = "active"
PAUSED = "paused"
_NEW: Row = {
    "status": ACTIVE,
    "last_tick": None,
    "last_saga_id": None,
    "started": 0,
    "skipped": 0,
    "paused_at": None,
    "paused_by": None,
    "pause_reason": None,
}


def _schedule_key(recorded: Any) -> Key:
    return (recorded.event.schedule,)


@schedules.on(ScheduleDeclared, key=_schedule_key)
def declared(row: Row | None, event: ScheduleDeclared, _: RecordedEvent) -> Row:
    """A worker declared the schedule, for the first time or otherwise than before."""
    declaration = event.declaration
    return {
        **(row or _NEW),
        "schedule": event.schedule,
        "cron": declaration.cron,
        "timezone": declaration.timezone,
        "saga": declaration.saga,
        "saga_version": declaration.saga_version,
        "overlap": declaration.overlap.value,
        "catch_up": declaration.catch_up.value,
        "catch_up_seconds": declaration.catch_up_seconds,
        "declared_at": event.at,
    }


@schedules.on(ScheduleTickStarted, key=_schedule_key)
def tick_started(row: Row | None, event: ScheduleTickStarted, _: RecordedEvent) -> Row:
    """A tick, a trigger or a backfill started a saga."""
    before = existing(row)
    return {**before, "last_tick": event.tick, "last_saga_id": event.saga_id, "started": before["started"] + 1}


@schedules.on(ScheduleTicksSkipped, key=_schedule_key)
def ticks_skipped(row: Row | None, event: ScheduleTicksSkipped, _: RecordedEvent) -> Row:
    """Ticks started nothing; only those that were counted are."""
    before = existing(row)
    return {**before, "skipped": before["skipped"] + event.ticks}


@schedules.on(SchedulePaused, key=_schedule_key)
def paused(row: Row | None, event: SchedulePaused, _: RecordedEvent) -> Row:
    """A person stopped the times."""
    return {
        **existing(row),
        "status": PAUSED,
        "paused_at": event.at,
        "paused_by": event.actor,
        "pause_reason": event.reason,
    }


@schedules.on(ScheduleResumed, key=_schedule_key)
def resumed(row: Row | None, _event: ScheduleResumed, _: RecordedEvent) -> Row:
    """A person let the times go on."""
    return {**existing(row), "status": ACTIVE, "paused_at": None, "paused_by": None, "pause_reason": None}
