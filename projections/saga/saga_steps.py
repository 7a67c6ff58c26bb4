"""`saga_steps`: one row for each attempt of a step, in either direction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, Integer, MetaData, Table, Text

from ...domain.event import Event
from ...domain.recorded_event import RecordedEvent
from ...domain.saga.event_parts import Wait, WaitKind
from ...domain.saga.events import (
    Action,
    ApprovalCounted,
    CancelRequested,
    CompensationFailed,
    CompensationStarted,
    ConditionNotMet,
    DeadlineExceeded,
    Direction,
    InterventionResolved,
    SagaCompensated,
    StepCompensated,
    StepFailed,
    StepOutcomeUnknown,
    StepProgressed,
    StepStarted,
    StepSucceeded,
)
from ..column_types import UtcDateTime
from ..keys import Key, RowsWhere
from ..projection import Projection, Row, existing

saga_steps = Projection(
    "saga_steps",
    version=6,
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
        Column("approvals", Integer),
        Column("approvals_needed", Integer),
        Column("approved_by", Text),
        Column("error", Text),
        Column("progress", Text),
        Column("worker", Text),
        Column("idempotency_key", Text, nullable=False),
        Index("saga_steps_status", "status", "started_at"),
    ),
)

STARTED = "started"
WAITING = "waiting"
"""The step runs nothing: it waits for a timer, a signal or another saga."""
CANCELLED = "cancelled"
"""The step waits no longer, and nothing ended its wait: the saga compensates, or was abandoned."""
SKIPPED = "skipped"
"""The step's condition was false: the saga goes on without it, and no attempt was made."""
SUCCEEDED = "succeeded"
FAILED = "failed"
UNKNOWN = "unknown"
"""The worker died during the attempt, which may have had its effect."""

_AWAITS_SAGA = f"{WaitKind.SAGA.value} "

FORWARD, COMPENSATION = Direction.FORWARD.value, Direction.COMPENSATION.value


def _forward_key(recorded: Any) -> Key:
    return (recorded.stream_id, recorded.event.step, FORWARD, recorded.event.attempt)


def _compensation_key(recorded: Any) -> Key:
    return (recorded.stream_id, recorded.event.step, COMPENSATION, recorded.event.attempt)


def _either_key(recorded: Any) -> Key:
    return (recorded.stream_id, recorded.event.step, recorded.event.direction.value, recorded.event.attempt)


def _waits(recorded: Any) -> RowsWhere:
    return RowsWhere(recorded.stream_id, "status", WAITING)


def _cancelled_waits(recorded: Any) -> RowsWhere:
    return RowsWhere(recorded.stream_id, "status", CANCELLED)


@saga_steps.on(CancelRequested, DeadlineExceeded, SagaCompensated, key=_waits)
def wait_cancelled(row: Row, event: Event, _: RecordedEvent) -> Row:
    """The saga compensates: no timer or signal ends a wait any more. A sub-saga's end is still awaited before that."""
    if row["waits_for"].startswith(_AWAITS_SAGA) and not isinstance(event, SagaCompensated):
        return row
    return {**row, "status": CANCELLED, "ended_at": event.at}


def _abandoned_or_past_pivot(recorded: Any) -> RowsWhere | None:
    if recorded.event.action is Action.ABANDON:
        return _waits(recorded)
    return _cancelled_waits(recorded) if recorded.event.pivot else None


@saga_steps.on(InterventionResolved, key=_abandoned_or_past_pivot)
def resolved(row: Row, event: InterventionResolved, _: RecordedEvent) -> Row:
    """An abandoned saga waits for nothing; one whose pivot counts as done goes on, and waits again."""
    if event.action is Action.ABANDON:
        return {**row, "status": CANCELLED, "ended_at": event.at}
    return {**row, "status": WAITING, "ended_at": None}


def _compensation_and_waits(recorded: Any) -> list[Key | RowsWhere]:
    return [_compensation_key(recorded), _waits(recorded)]


@saga_steps.on(StepStarted, key=_forward_key)
@saga_steps.on(CompensationStarted, key=_compensation_and_waits)
def started(row: Row | None, event: StepStarted | CompensationStarted, recorded: RecordedEvent) -> Row:
    """The attempt began; or the step begins to wait, as `waits_for` says. The first compensation cancels every wait."""
    if row is not None and isinstance(event, CompensationStarted) and row["status"] == WAITING:
        return wait_cancelled(row, event, recorded)
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
        "approvals": None if wait is None or wait.approvals is None else 0,
        "approvals_needed": None if wait is None else wait.approvals,
        "approved_by": None,
    }


def _no_attempt_key(recorded: Any) -> Key:
    return (recorded.stream_id, recorded.event.step, FORWARD, 0)


@saga_steps.on(ConditionNotMet, key=_no_attempt_key)
def skipped(_: Row | None, event: ConditionNotMet, recorded: RecordedEvent) -> Row:
    """The step's condition was false. The row stands for no attempt, and has the number 0."""
    return {
        "saga_id": recorded.stream_id,
        "step": event.step,
        "direction": FORWARD,
        "attempt": 0,
        "status": SKIPPED,
        "started_at": event.at,
        "ended_at": event.at,
        "worker": recorded.meta.worker,
        "idempotency_key": "",
    }


def _awaited(wait: Wait) -> str:
    """Returns what the step waits for, such as `timer`, `signal approval` or `saga refund-7`."""
    return wait.kind.value if wait.target is None else f"{wait.kind} {wait.target}"


@saga_steps.on(StepProgressed, key=_either_key)
def progressed(row: Row | None, event: StepProgressed, _: RecordedEvent) -> Row:
    """The attempt told how far it has come, as JSON."""
    return {**existing(row), "progress": bytes(event.progress).decode("utf-8", "replace")}


@saga_steps.on(ApprovalCounted, key=_forward_key)
def approved(row: Row | None, event: ApprovalCounted, _: RecordedEvent) -> Row:
    """One more of the people who have to approve the step has done so."""
    before = existing(row)
    names = [name for name in (before["approved_by"], event.actor) if name]
    return {**before, "approvals": event.approvals, "approved_by": ", ".join(names)}


def _success_key(recorded: Any) -> Any:
    own = _forward_key(recorded)
    return [own, _cancelled_waits(recorded)] if recorded.event.pivot else own


@saga_steps.on(StepSucceeded, key=_success_key)
@saga_steps.on(StepCompensated, key=_compensation_key)
def succeeded(row: Row | None, event: StepSucceeded | StepCompensated, _: RecordedEvent) -> Row:
    """The attempt succeeded. Past its pivot a saga no longer compensates, and its other steps wait again."""
    if row is not None and row["status"] == CANCELLED and row["step"] != event.step:
        return {**row, "status": WAITING, "ended_at": None}
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
