"""`findings`: one row for each event that its choreography does not allow at that point of the process."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, MetaData, Table, Text

from ...domain.choreography.derived_saga import ConformanceViolation
from ...domain.recorded_event import RecordedEvent
from ..column_types import UtcDateTime
from ..keys import Key
from ..projection import Projection, Row

findings = Projection(
    "findings",
    version=1,
    table=Table(
        "findings",
        MetaData(),
        Column("saga_id", Text, primary_key=True),
        Column("position", BigInteger, primary_key=True),
        Column("event", Text, nullable=False),
        Column("problem", Text, nullable=False),
        Column("found_at", UtcDateTime, nullable=False),
    ),
)


def _finding_key(recorded: RecordedEvent) -> Key:
    return (recorded.stream_id, recorded.position)


@findings.on(ConformanceViolation, key=_finding_key)
def found(_: Row | None, event: ConformanceViolation, recorded: RecordedEvent) -> Row:
    """The event with this position and topic violates the choreography."""
    return {
        "saga_id": recorded.stream_id,
        "position": event.position,
        "event": event.topic,
        "problem": event.problem,
        "found_at": event.at,
    }
