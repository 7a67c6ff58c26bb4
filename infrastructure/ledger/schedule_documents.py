"""Schedules as JSON documents: those of the command line and of the HTTP API."""

from __future__ import annotations

from typing import Any

from .schedules import ScheduleInfo


def schedule_document(info: ScheduleInfo, *, app_in_use: bool) -> dict[str, Any]:
    """Return what is recorded of a schedule, with its status. Without an app, whether it is declared is not known."""
    row = info._asdict()
    paused = row.pop("paused")
    declared = row.pop("declared") if app_in_use else row.pop("declared") or None
    status = "paused" if paused is not None else "not declared" if declared is False else "active"
    return {
        "schedule": row.pop("name"),
        "status": status,
        "declared": declared,
        "paused_at": None if paused is None else paused.at,
        "paused_by": None if paused is None else paused.actor,
        "pause_reason": None if paused is None else paused.reason,
        **row,
    }
