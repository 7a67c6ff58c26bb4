"""`saga_steps`: one row for each attempt of a step, in either direction."""

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
"""The step runs nothing: it waits for a timer, a signal or another saga."""
SUCCEEDED = "succeeded"
FAILED = "failed"
UNKNOWN = "unknown"
"""The worker died during the attempt, which may have had its effect."""

FORWARD, COMPENSATION = Direction.FORWARD.value, Direction.COMPENSATION.value


def _forward_key(recorded: Any) -> Key:
    return (recorded.stream_id, recorded.event.step, FORWARD, recorded.event.attempt)


def _compensation_key(recorded: Any) -> Key:
    return (recorded.stream_id, recorded.event.step, COMPENSATION, recorded.event.attempt)


def _either_key(recorded: Any) -> Key:
    return (recorded.stream_id, recorded.event.step, recorded.event.direction.value, recorded.event.attempt)


@saga_steps.on(StepStarted, key=_forward_key)
@saga_steps.on(CompensationStarted, key=_compensation_key)
def started(_: Row | None, event: StepStarted | CompensationStarted, recorded: RecordedEvent) -> Row:
    """The attempt began; or the step begins to wait, as `waits_for` says."""
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
        "waits_for": None if wait is None else _awaited(wait),
        "waits_until": None if wait is None else wait.due_at,
    }


def _awaited(wait: Wait) -> str:
    """Returns what the step waits for, such as `timer`, `signal approval` or `saga refund-7`."""
    return wait.kind.value if wait.target is None else f"{wait.kind} {wait.target}"


@saga_steps.on(StepSucceeded, key=_forward_key)
@saga_steps.on(StepCompensated, key=_compensation_key)
def succeeded(row: Row | None, event: StepSucceeded | StepCompensated, _: RecordedEvent) -> Row:
    """The attempt succeeded."""
    return {**existing(row), "status": SUCCEEDED, "ended_at": event.at}


@saga_steps.on(StepFailed, key=_forward_key)
@saga_steps.on(CompensationFailed, key=_compensation_key)
def failed(row: Row | None, event: StepFailed | CompensationFailed, _: RecordedEvent) -> Row:
    """The attempt failed; `retry_at` is the time of the next one, if there is one."""
    error = f"{event.error.type}: {event.error.message}"
    return {**existing(row), "status": FAILED, "ended_at": event.at, "retry_at": event.retry_at, "error": error}


@saga_steps.on(StepOutcomeUnknown, key=_either_key)
def outcome_unknown(row: Row | None, event: StepOutcomeUnknown, _: RecordedEvent) -> Row:
    """The worker died before it recorded how the attempt ended."""
    return {**existing(row), "status": UNKNOWN, "ended_at": event.at, "retry_at": event.retry_at}
