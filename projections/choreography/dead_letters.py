"""`dead_letters`: one row for each event that a service could not handle at the first attempt."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

from ...domain.choreography.dead_letter import (
    DeadLetterStatus,
    DeliveryDeferred,
    DeliveryFailed,
    DeliveryReplayed,
    DeliverySettled,
)
from ...domain.recorded_event import RecordedEvent
from ..column_types import UtcDateTime
from ..keys import Key
from ..projection import Projection, Row, existing

dead_letters = Projection(
    "dead_letters",
    version=1,
    table=Table(
        "dead_letters",
        MetaData(),
        Column("service", Text, primary_key=True),
        Column("position", BigInteger, primary_key=True),
        Column("correlation_id", Text, nullable=False),
        Column("event", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("error", Text),
        Column("retry_at", UtcDateTime),
        Column("behind", BigInteger),
        Column("failed_at", UtcDateTime, nullable=False),
        Column("updated_at", UtcDateTime, nullable=False),
        Index("dead_letters_status", "status"),
        Index("dead_letters_correlation_id", "correlation_id"),
    ),
)


def _dead_letter_key(recorded: Any) -> Key:
    return (recorded.event.service, recorded.event.position)


def _new(event: DeliveryFailed | DeliveryDeferred, recorded: RecordedEvent) -> Row:
    return {
        "service": event.service,
        "position": event.position,
        "correlation_id": recorded.correlation_id,
        "event": event.topic,
        "attempts": 0,
        "failed_at": event.at,
    }


@dead_letters.on(DeliveryFailed, key=_dead_letter_key)
def failed(row: Row | None, event: DeliveryFailed, recorded: RecordedEvent) -> Row:
    """An attempt failed: the event is parked, unless another attempt is scheduled."""
    status = DeadLetterStatus.PARKED if event.retry_at is None else DeadLetterStatus.RETRYING
    return {
        **(row or _new(event, recorded)),
        "status": status.value,
        "attempts": event.attempt,
        "error": f"{event.error.type}: {event.error.message}",
        "retry_at": event.retry_at,
        "updated_at": event.at,
    }


@dead_letters.on(DeliveryDeferred, key=_dead_letter_key)
def deferred(row: Row | None, event: DeliveryDeferred, recorded: RecordedEvent) -> Row:
    """The event waits for an earlier event of its process, which `behind` names."""
    return {
        **(row or _new(event, recorded)),
        "status": DeadLetterStatus.DEFERRED.value,
        "behind": event.blocker,
        "updated_at": event.at,
    }


@dead_letters.on(DeliveryReplayed, key=_dead_letter_key)
def replayed(row: Row | None, event: DeliveryReplayed, _: RecordedEvent) -> Row:
    """A person asked for another attempt, with the count of attempts back at 0."""
    return {
        **existing(row),
        "status": DeadLetterStatus.RETRYING.value,
        "attempts": 0,
        "retry_at": event.at,
        "updated_at": event.at,
    }


@dead_letters.on(DeliverySettled, key=_dead_letter_key)
def settled(row: Row | None, event: DeliverySettled, _: RecordedEvent) -> Row:
    """The service handled the event in the end."""
    return {**existing(row), "status": DeadLetterStatus.SETTLED.value, "retry_at": None, "updated_at": event.at}
