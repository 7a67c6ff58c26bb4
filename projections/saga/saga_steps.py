"""`saga_steps`: one row for each attempt of each step, forward and back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, Integer, MetaData, Table, Text

from ...domain.recorded_event import RecordedEvent
from ...domain.saga.events import (
    CompensationFailed,
    CompensationStarted,
    Direction,
    StepCompensated,
    StepFailed,
    StepOutcomeUnknown,
    StepStarted,
    StepSucceeded,
    Wait,
)
from ..column_types import UtcDateTime
from ..projection import Key, Projection, Row, existing

saga_steps = Projection(
    "saga_steps",
    version=2,
    table=Table(
        "saga_steps",
        MetaData(),
        Column("saga_id", Text, primary_key=True),
        Column("step", Text, primary_key=True),
        Column("direction", Text, primary_key=True),
        Column("attempt", Integer, primary_key=True),
        Column("status", Text, nullable=False),
        Column("started_at", UtcDateTime, nullable=False),
        Column("ended_at", UtcDateTime),
        Column("retry_at", UtcDateTime),
        Column("waits_for", Text),
        Column("waits_until", UtcDateTime),
        Column("error", Text),
        Column("worker", Text),
        Column("idempotency_key", Text, nullable=False),
        Index("saga_steps_status", "status", "started_at"),
    ),
)

STARTED = "started"
WAITING = "waiting"
"""It runs nothing: it waits for a timer, a signal or another saga."""
SUCCEEDED = "succeeded"
FAILED = "failed"
UNKNOWN = "unknown"
"""It was started, and then its worker died."""

FORWARD, COMPENSATION = Direction.FORWARD.value, Direction.COMPENSATION.value


def _forward(recorded: Any) -> Key:
    return (recorded.stream_id, recorded.event.step, FORWARD, recorded.event.attempt)


def _back(recorded: Any) -> Key:
    return (recorded.stream_id, recorded.event.step, COMPENSATION, recorded.event.attempt)


def _either(recorded: Any) -> Key:
    return (recorded.stream_id, recorded.event.step, recorded.event.direction.value, recorded.event.attempt)


@saga_steps.on(StepStarted, key=_forward)
@saga_steps.on(CompensationStarted, key=_back)
def started(_: Row | None, event: StepStarted | CompensationStarted, recorded: RecordedEvent) -> Row:
    """An attempt began."""
    wait = event.wait if isinstance(event, StepStarted) else None
    return {
        "saga_id": recorded.stream_id,
        "step": event.step,
        "direction": FORWARD if isinstance(event, StepStarted) else COMPENSATION,
        "attempt": event.attempt,
        "status": STARTED if wait is None else WAITING,
        "started_at": event.at,
        "worker": recorded.meta.worker,
        "idempotency_key": event.key,
        "waits_for": None if wait is None else _subject(wait),
        "waits_until": None if wait is None else wait.due_at,
    }


def _subject(wait: Wait) -> str:
    """`timer`, `signal approval`, `saga refund-7`."""
    return wait.kind.value if wait.target is None else f"{wait.kind} {wait.target}"


@saga_steps.on(StepSucceeded, key=_forward)
@saga_steps.on(StepCompensated, key=_back)
def succeeded(row: Row | None, event: StepSucceeded | StepCompensated, _: RecordedEvent) -> Row:
    """The attempt did what it was to do."""
    return {**existing(row), "status": SUCCEEDED, "ended_at": event.at}


@saga_steps.on(StepFailed, key=_forward)
@saga_steps.on(CompensationFailed, key=_back)
def failed(row: Row | None, event: StepFailed | CompensationFailed, _: RecordedEvent) -> Row:
    """The attempt failed."""
    error = f"{event.error.type}: {event.error.message}"
    return {**existing(row), "status": FAILED, "ended_at": event.at, "retry_at": event.retry_at, "error": error}


@saga_steps.on(StepOutcomeUnknown, key=_either)
def outcome_unknown(row: Row | None, event: StepOutcomeUnknown, _: RecordedEvent) -> Row:
    """The attempt's worker died before it could say what became of it."""
    return {**existing(row), "status": UNKNOWN, "ended_at": event.at, "retry_at": event.retry_at}
