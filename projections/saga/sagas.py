"""`sagas`: one row for each saga, with where it stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, Table, Text, text

from ...domain.choreography.derived_saga import ConformanceViolation
from ...domain.event import Event
from ...domain.recorded_event import RecordedEvent
from ...domain.saga.events import (
    SAGA_EVENTS,
    Action,
    CancelRequested,
    CompensationFailed,
    CompensationStarted,
    DeadlineExceeded,
    Direction,
    InterventionRequired,
    InterventionResolved,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    SignalReceived,
    StepCompensated,
    StepFailed,
    StepOutcomeUnknown,
    StepStarted,
    StepSucceeded,
    TimerFired,
)
from ...domain.saga.state import Status
from ..column_types import EVERY_ROW, INTERNAL, Names, UtcDateTime
from ..projection import Projection, Row, existing

_EVERY_SAGA = text("events > 0")
_MAY_STALL = text("stalls_at IS NOT NULL")

sagas = Projection(
    "sagas",
    version=4,
    table=Table(
        "sagas",
        MetaData(),
        Column("saga_id", Text, primary_key=True),
        Column("definition", Text, nullable=False),
        Column("version", Integer, nullable=False),
        Column("style", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("correlation_id", Text, nullable=False),
        Column("started_at", UtcDateTime, nullable=False),
        Column("updated_at", UtcDateTime, nullable=False),
        Column("ended_at", UtcDateTime),
        Column("current_step", Text),
        Column("failed_step", Text),
        Column("error", Text),
        Column("events", BigInteger, nullable=False),
        Column("deadline", UtcDateTime),
        Column("begins_at", UtcDateTime),
        Column("stalls_at", UtcDateTime),
        Column("findings", Integer, nullable=False),
        Column("silence_seconds", Float, info=INTERNAL),
        Column("begun", Boolean, nullable=False, info=INTERNAL),
        Column("running", Names, nullable=False, info=INTERNAL),
        Column("waiting", Names, nullable=False, info=INTERNAL),
        Column("retrying", Names, nullable=False, info=INTERNAL),
        Column("given_up", Names, nullable=False, info=INTERNAL),
        Column("compensations", Names, nullable=False, info=INTERNAL),
        Column("parked", Names, nullable=False, info=INTERNAL),
        Column("told_to_turn", Boolean, nullable=False, info=INTERNAL),
        Column("past_pivot", Boolean, nullable=False, info=INTERNAL),
        Index("sagas_started_at", "started_at", postgresql_where=_EVERY_SAGA, sqlite_where=_EVERY_SAGA),
        Index("sagas_status", "status", "started_at"),
        Index("sagas_definition", "definition", "started_at"),
        Index("sagas_definition_status", "definition", "status", "started_at"),
        Index("sagas_stalls_at", "started_at", "stalls_at", postgresql_where=_MAY_STALL, sqlite_where=_MAY_STALL),
        Index("sagas_correlation_id", "correlation_id"),
        info={EVERY_ROW: _EVERY_SAGA},
    ),
)

RUNNING, WAITING = Status.RUNNING.value, Status.WAITING.value
COMPENSATING, NEEDS_INTERVENTION = Status.COMPENSATING.value, Status.NEEDS_INTERVENTION.value
ENDED = frozenset({Status.COMPLETED.value, Status.COMPENSATED.value, Status.ABANDONED.value})

PROGRESS = ("running", "waiting", "retrying", "given_up")
"""What an action that has begun is doing, unless it is over: the columns that name the steps which do."""

Fold = Callable[[Row, Any], Row]
"""What a fact changes in the row of its saga."""
_FOLDS: dict[type[Event], Fold] = {}


def saga_of(recorded: RecordedEvent) -> str:
    """The saga on whose own stream a fact stands."""
    return recorded.stream_id


@sagas.on(*SAGA_EVENTS, ConformanceViolation, key=saga_of)
def fact(row: Row | None, happened: Event, recorded: RecordedEvent) -> Row:
    """Every fact counts, and may change where its saga stands."""
    if row is None and isinstance(happened, SagaStarted):
        return _new(recorded, happened)
    after = existing(row).copy()
    after["events"] += 1
    after["updated_at"] = happened.at
    fold = _FOLDS.get(type(happened))
    changes = fold(after, happened) if fold is not None else {}
    after.update(changes)
    if "status" not in changes and after["status"] not in ENDED:
        after["status"] = _status(after)
    if after["silence_seconds"] is not None:
        after["stalls_at"] = _stalls_at(after)
    return after


def _stalls_at(row: Row) -> datetime | None:
    """From when on a choreographed saga's silence means that it is stalled; None if it waits for no service."""
    if row["status"] in ENDED or row["parked"]:
        return None
    silent_since: datetime = row["updated_at"]
    return silent_since + timedelta(seconds=row["silence_seconds"])


def _status(row: Row) -> str:
    """Where an open saga stands: the same as `SagaState.status`."""
    if row["parked"]:
        return NEEDS_INTERVENTION
    if not row["past_pivot"] and (row["told_to_turn"] or row["given_up"] or row["compensations"]):
        return COMPENSATING
    scheduled = row["begins_at"] is not None and not row["begun"]
    if scheduled or ((row["retrying"] or row["waiting"]) and not row["running"]):
        return WAITING
    return RUNNING


def _new(recorded: RecordedEvent, started: SagaStarted) -> Row:
    row: Row = {
        "saga_id": recorded.stream_id,
        "definition": started.definition,
        "version": started.definition_version,
        "style": started.style,
        "correlation_id": recorded.correlation_id,
        "started_at": started.at,
        "updated_at": started.at,
        "events": 1,
        "deadline": started.deadline,
        "begins_at": started.begins_at,
        "begun": False,
        "findings": 0,
        "silence_seconds": started.silence_seconds,
        **dict.fromkeys((*PROGRESS, "compensations", "parked"), ()),
        "told_to_turn": False,
        "past_pivot": False,
    }
    row["status"] = _status(row)
    row["stalls_at"] = None if started.silence_seconds is None else _stalls_at(row)
    return row


def _on(*types: type[Event]) -> Callable[[Fold], Fold]:
    def declare(fold: Fold) -> Fold:
        _FOLDS.update(dict.fromkeys(types, fold))
        return fold

    return declare


def _among(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if name in names else tuple(sorted((*names, name)))


def _without(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(other for other in names if other != name) if name in names else names


def _forward(row: Row, step: str, progress: str | None) -> Row:
    """The step's action stands in one of the columns of its progress, or in none of them."""
    changes: Row = {"begun": True}
    for column in PROGRESS:
        names: tuple[str, ...] = row[column]
        if column == progress:
            changes[column] = _among(names, step)
        elif step in names:
            changes[column] = _without(names, step)
    return changes


def _back(row: Row, step: str) -> Row:
    """The step's compensation has begun."""
    return {"compensations": _among(row["compensations"], step), "begun": True}


@_on(StepStarted)
def _step_started(row: Row, started: StepStarted) -> Row:
    progress = "running" if started.wait is None else "waiting"
    return {**_forward(row, started.step, progress), "current_step": started.step}


@_on(StepSucceeded)
def _step_succeeded(row: Row, succeeded: StepSucceeded) -> Row:
    return {**_forward(row, succeeded.step, None), "past_pivot": row["past_pivot"] or succeeded.pivot}


@_on(StepFailed)
def _step_failed(row: Row, failed: StepFailed) -> Row:
    progress = "given_up" if failed.retry_at is None else "retrying"
    return {**_forward(row, failed.step, progress), **_blame(failed)}


@_on(CompensationStarted)
def _compensation_started(row: Row, started: CompensationStarted) -> Row:
    return {**_back(row, started.step), "current_step": started.step}


@_on(StepCompensated)
def _step_compensated(row: Row, compensated: StepCompensated) -> Row:
    return _back(row, compensated.step)


@_on(CompensationFailed)
def _compensation_failed(row: Row, failed: CompensationFailed) -> Row:
    return {**_back(row, failed.step), **_blame(failed)}


def _blame(failed: StepFailed | CompensationFailed) -> Row:
    return {"failed_step": failed.step, "error": f"{failed.error.type}: {failed.error.message}"}


@_on(StepOutcomeUnknown)
def _outcome_unknown(row: Row, lost: StepOutcomeUnknown) -> Row:
    blame = {"failed_step": lost.step, "error": f"outcome unknown: the worker of attempt {lost.attempt} died"}
    if lost.direction is Direction.COMPENSATION:
        return {**_back(row, lost.step), **blame}
    return {**_forward(row, lost.step, "given_up" if lost.retry_at is None else "retrying"), **blame}


@_on(CancelRequested, DeadlineExceeded)
def _told_to_turn(_: Row, __: CancelRequested | DeadlineExceeded) -> Row:
    return {"told_to_turn": True}


@_on(InterventionRequired)
def _parked(row: Row, required: InterventionRequired) -> Row:
    return {
        "parked": _among(row["parked"], f"{required.direction} {required.step}"),
        "failed_step": required.step,
        "error": required.cause,
    }


@_on(InterventionResolved)
def _resolved(row: Row, resolved: InterventionResolved) -> Row:
    if resolved.action is Action.ABANDON:
        return {
            "parked": (), "status": Status.ABANDONED.value, "ended_at": resolved.at, "current_step": None,
            "error": resolved.reason,
        }  # fmt: skip
    changes = {
        "parked": _without(row["parked"], f"{resolved.direction} {resolved.step}"),
        "past_pivot": row["past_pivot"] or resolved.pivot,
        "begun": True,
    }
    if resolved.direction is Direction.FORWARD:
        return {**changes, **_forward(row, resolved.step, None)}
    begun = _without if resolved.action is Action.RETRY else _among
    return {**changes, "compensations": begun(row["compensations"], resolved.step)}


@_on(SagaCompleted)
def _completed(_: Row, completed: SagaCompleted) -> Row:
    return {"status": Status.COMPLETED.value, "ended_at": completed.at, "current_step": None}


@_on(SagaCompensated)
def _compensated(_: Row, compensated: SagaCompensated) -> Row:
    return {"status": Status.COMPENSATED.value, "ended_at": compensated.at, "current_step": None}


@_on(ConformanceViolation)
def _found(row: Row, _: ConformanceViolation) -> Row:
    return {"findings": row["findings"] + 1}


@_on(SignalReceived, TimerFired)
def _noted(_: Row, __: SignalReceived | TimerFired) -> Row:
    return {}
