"""Recorded events and states as JSON documents."""

from __future__ import annotations

from typing import Any

import msgspec

from ....domain.recorded_event import RecordedEvent
from ....domain.saga.state import SagaState
from .timestamps import json_instant


def event_document(recorded: RecordedEvent) -> dict[str, Any]:
    """An event with everything that the log knows of it."""
    schema = type(recorded.event).schema
    return {
        "position": recorded.position,
        "stream_id": recorded.stream_id,
        "version": recorded.version,
        "event": schema.name,
        "recorded_at": json_instant(recorded.recorded_at),
        "correlation_id": recorded.correlation_id,
        "causation_position": recorded.causation_position,
        "meta": recorded.meta,
        "data": recorded.event,
    }


def state_document(state: SagaState) -> dict[str, Any]:
    """A saga's state, with the status that follows from it."""
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(state))
    return {"saga_id": fields.pop("saga_id"), "status": state.status.value, **fields}
