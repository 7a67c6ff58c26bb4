"""`sagas`: one row for each saga, with its status and the latest of what happened to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, Table, Text, text

from ...domain.choreography.derived_saga import ConformanceViolation
from ...domain.event import Event
from ...domain.recorded_event import RecordedEvent
from ...domain.saga.duration import instant_after
from ...domain.saga.events import (
    SAGA_EVENTS,
    Action,
    CompensationStarted,
    InterventionResolved,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    StepStarted,
)
from ...domain.saga.evolve import evolve
from ...domain.saga.state import SagaState, Status
from ..column_types import EVERY_ROW, INTERNAL, UtcDateTime
from ..projection import Projection, Row, existing
from .saga_failures import FIRST_FAILURES, NOTHING, SagaFailures, decode_failures, encode_failures, failures_after
from .stored_state import decode_state, encode_state

ENDED = frozenset({Status.COMPLETED.value, Status.COMPENSATED.value, Status.ABANDONED.value})

_EVERY_SAGA = text("events > 0")
_MAY_STALL = text("stalls_at IS NOT NULL")


def _with_status(row: Row) -> Row:
    """Returns the row with the columns that follow from the saga's state, and with the state and failures encoded.

    A saga that has ended stores neither: `_state_of` makes what a late event needs from the other columns.
    """
    state: SagaState = row["state"]
    failures: SagaFailures | None = row["failures"]
    is_open = state.end is None
    may_stall = is_open and not state.interventions and row["silence_seconds"] is not None
    return {
        **row,
        "status": state.status.value,
        "ended_at": state.ended_at,
        "stalls_at": instant_after(row["updated_at"], row["silence_seconds"]) if may_stall else None,
        "state": encode_state(state) if is_open else None,
        "failures": encode_failures(failures) if failures is not None and is_open else None,
    }


sagas = Projection(
    "sagas",
    version=9,
    finish=_with_status,
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
        Column("state", Text, info=INTERNAL),
        Column("failures", Text, info=INTERNAL),
        Index("sagas_started_at", "started_at", postgresql_where=_EVERY_SAGA, sqlite_where=_EVERY_SAGA),
        Index("sagas_status", "status", "started_at"),
        Index("sagas_definition", "definition", "started_at"),
        Index("sagas_definition_status", "definition", "status", "started_at"),
        Index("sagas_stalls_at", "started_at", "stalls_at", postgresql_where=_MAY_STALL, sqlite_where=_MAY_STALL),
        Index("sagas_correlation_id", "correlation_id"),
        info={EVERY_ROW: _EVERY_SAGA},
    ),
)


def _saga_id(recorded: RecordedEvent) -> str:
    return recorded.stream_id


@sagas.on(*SAGA_EVENTS, ConformanceViolation, key=_saga_id)
def evolved(row: Row | None, event: Event, recorded: RecordedEvent) -> Row:
    """The saga's state evolves, and the row shows what the event says of itself."""
    if row is None and isinstance(event, SagaStarted):
        after = _unstarted(recorded)
        state = SagaState(recorded.stream_id)
    else:
        after = existing(row)
        state = _state_of(after)
    had_ended = state.end is not None
    after["state"] = state = evolve(state, event)
    if (after["failures"] is not None or type(event) in FIRST_FAILURES) and not had_ended:
        after.update(_failed(after, event, state))
    after["events"] += 1
    after["updated_at"] = event.at
    shown = _SHOWN.get(type(event))
    if shown is not None:
        after.update(shown(after, event))
    return after


def _unstarted(recorded: RecordedEvent) -> Row:
    return {
        "saga_id": recorded.stream_id,
        "correlation_id": recorded.correlation_id,
        "events": 0,
        "findings": 0,
        "failures": None,
    }


def _state_of(row: Row) -> SagaState:
    """Returns the state that the latest event left: within a batch as it is, before a batch decoded from its text."""
    state = row["state"]
    if isinstance(state, SagaState):
        return state
    if state is None:
        return SagaState(row["saga_id"], end=Status(row["status"]), ended_at=row["ended_at"])
    return decode_state(state, row["saga_id"], row["begins_at"])


def _failed(row: Row, event: Event, state: SagaState) -> Row:
    """Returns what has failed the saga after an event that led to this state."""
    before = row["failures"]
    failures = failures_after(decode_failures(before) if isinstance(before, str) else before, event, state)
    step, _, error = NOTHING if failures is None else failures.shown
    return {"failures": failures, "failed_step": step, "error": error}


# The columns that events of one type change, beside those that follow from the state


def _started(_: Row, event: SagaStarted) -> Row:
    return {
        "definition": event.definition,
        "version": event.definition_version,
        "style": event.style,
        "started_at": event.at,
        "deadline": event.deadline,
        "begins_at": event.begins_at,
        "silence_seconds": event.silence_seconds,
    }


def _attempt_started(_: Row, event: StepStarted | CompensationStarted) -> Row:
    return {"current_step": event.step}


def _intervention_resolved(_: Row, event: InterventionResolved) -> Row:
    return {"current_step": None} if event.action is Action.ABANDON else {}


def _ended(_: Row, __: SagaCompleted | SagaCompensated) -> Row:
    return {"current_step": None}


def _violated(row: Row, _: ConformanceViolation) -> Row:
    return {"findings": row["findings"] + 1}


_SHOWN: Mapping[type[Event], Callable[[Row, Any], Row]] = {
    SagaStarted: _started,
    StepStarted: _attempt_started,
    CompensationStarted: _attempt_started,
    InterventionResolved: _intervention_resolved,
    SagaCompleted: _ended,
    SagaCompensated: _ended,
    ConformanceViolation: _violated,
}
