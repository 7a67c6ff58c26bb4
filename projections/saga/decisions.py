"""`decisions`: one row for each decision of a person or a program about a saga that had begun."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

from ...domain.recorded_event import RecordedEvent
from ...domain.saga.events import CancelRequested, InterventionResolved, SignalReceived
from ..column_types import UtcDateTime
from ..keys import Key
from ..projection import Projection, Row

decisions = Projection(
    "decisions",
    version=1,
    table=Table(
        "decisions",
        MetaData(),
        Column("saga_id", Text, primary_key=True),
        Column("version", Integer, primary_key=True),
        Column("position", BigInteger, nullable=False),
        Column("decided_at", UtcDateTime, nullable=False),
        Column("action", Text, nullable=False),
        Column("step", Text),
        Column("direction", Text),
        Column("signal", Text),
        Column("actor", Text, nullable=False),
        Column("reason", Text),
        Index("decisions_position", "position"),
        Index("decisions_decided_at", "decided_at"),
        Index("decisions_actor", "actor", "decided_at"),
    ),
)

APPROVE = "approve"
REFUSE = "refuse"
SIGNAL = "signal"
"""A signal that was sent by its name, not as the approval of one step."""
CANCEL = "cancel"


def _key(recorded: RecordedEvent) -> Key:
    return (recorded.stream_id, recorded.version)


@decisions.on(SignalReceived, key=_key)
def signalled(_: Row | None, event: SignalReceived, recorded: RecordedEvent) -> Row:
    """A step was approved or refused, or the saga was sent a signal."""
    action = REFUSE if event.refused else SIGNAL if event.step is None else APPROVE
    return _row(recorded, event, action, step=event.step, signal=event.name)


@decisions.on(InterventionResolved, key=_key)
def resolved(_: Row | None, event: InterventionResolved, recorded: RecordedEvent) -> Row:
    """It was decided how a step that needed a person goes on."""
    return _row(recorded, event, event.action.value, step=event.step, direction=event.direction.value)


@decisions.on(CancelRequested, key=_key)
def cancelled(_: Row | None, event: CancelRequested, recorded: RecordedEvent) -> Row:
    """The saga was to compensate."""
    return _row(recorded, event, CANCEL)


def _row(
    recorded: RecordedEvent,
    event: SignalReceived | InterventionResolved | CancelRequested,
    action: str,
    *,
    step: str | None = None,
    direction: str | None = None,
    signal: str | None = None,
) -> Row:
    return {
        "saga_id": recorded.stream_id,
        "version": recorded.version,
        "position": recorded.position,
        "decided_at": event.at,
        "action": action,
        "step": step,
        "direction": direction,
        "signal": signal,
        "actor": event.actor,
        "reason": event.reason,
    }
