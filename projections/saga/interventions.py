"""`interventions`: one row for each step that ever needed a person, with its latest intervention."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, Integer, MetaData, Table, Text

from ...domain.recorded_event import RecordedEvent
from ...domain.saga.events import Action, InterventionRequired, InterventionResolved
from ..column_types import UtcDateTime
from ..keys import Key, RowsWhere
from ..projection import Projection, Row, existing

interventions = Projection(
    "interventions",
    version=2,
    table=Table(
        "interventions",
        MetaData(),
        Column("saga_id", Text, primary_key=True),
        Column("step", Text, primary_key=True),
        Column("direction", Text, primary_key=True),
        Column("cause", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("action", Text),
        Column("actor", Text),
        Column("reason", Text),
        Column("required_at", UtcDateTime, nullable=False),
        Column("resolved_at", UtcDateTime),
        Column("times", Integer, nullable=False),
        Index("interventions_status", "status", "required_at"),
    ),
)

OPEN = "open"
RESOLVED = "resolved"


def _step_key(recorded: Any) -> Key:
    return (recorded.stream_id, recorded.event.step, recorded.event.direction.value)


@interventions.on(InterventionRequired, key=_step_key)
def required(row: Row | None, event: InterventionRequired, recorded: RecordedEvent) -> Row:
    """The step waits for a person; `times` counts how often it has."""
    return {
        "saga_id": recorded.stream_id,
        "step": event.step,
        "direction": event.direction.value,
        "cause": event.cause,
        "status": OPEN,
        "action": None,
        "actor": None,
        "reason": None,
        "required_at": event.at,
        "resolved_at": None,
        "times": 1 if row is None else row["times"] + 1,
    }


def _resolved_keys(recorded: Any) -> list[Key | RowsWhere]:
    own = _step_key(recorded)
    abandoned = recorded.event.action is Action.ABANDON
    return [own, RowsWhere(recorded.stream_id, "status", OPEN)] if abandoned else [own]


@interventions.on(InterventionResolved, key=_resolved_keys)
def resolved(row: Row | None, event: InterventionResolved, _: RecordedEvent) -> Row:
    """A person decided how the step goes on. A saga that is abandoned needs no person for its other steps."""
    return {
        **existing(row),
        "status": RESOLVED,
        "action": event.action.value,
        "actor": event.actor,
        "reason": event.reason,
        "resolved_at": event.at,
    }
