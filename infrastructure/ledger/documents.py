"""Events, states and processes as JSON documents: those of the command line and of the HTTP API."""

from __future__ import annotations

from typing import Any

import msgspec

from ...domain.saga.items import Items
from ...domain.saga.state import SagaState
from .json_values import json_instant
from .moment import Moment, SagaMoment
from .process_report import ProcessReport
from .saga_history import HistoryEntry


def event_document(entry: HistoryEntry) -> dict[str, Any]:
    """Return an event with everything that the log has of it."""
    return {
        "position": entry.position,
        "stream_id": entry.stream_id,
        "version": entry.version,
        "event": entry.topic,
        "schema_version": entry.schema_version,
        "recorded_at": json_instant(entry.recorded_at),
        "correlation_id": entry.correlation_id,
        "causation_position": entry.causation_position,
        "meta": entry.meta,
        "data": entry.data,
    }


def state_document(state: SagaState) -> dict[str, Any]:
    """Return a saga's state, with the status that follows from it."""
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(msgspec.structs.replace(state, items={})))
    fields["items"] = {name: _items_document(items) for name, items in state.items.items()}
    return {"saga_id": fields.pop("saga_id"), "status": state.status.value, **fields}


def then_document(at: Moment | None, then: SagaMoment | None) -> dict[str, Any]:
    """Return which moment of the past a saga is shown at; nothing for the present."""
    if at is None or then is None:
        return {}
    return {"at": str(at), "as_of_position": then.position, "as_of_version": then.version}


def _items_document(items: Items) -> dict[str, Any]:
    """Return the items of a for-each step, each with its value and how far it has come."""
    states = {
        str(index): {"item": item, "forward": state.forward, "compensation": state.compensation}
        for index, (item, state) in enumerate(zip(items.values, items, strict=False))  # fewer, while they are listed
    }
    summary = {"total": items.total, "ended": items.ended, "collect": items.collect, "states": states}
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(summary))
    return document


def process_document(report: ProcessReport) -> dict[str, Any]:
    """Return the report on a choreographed saga."""
    return {
        "waits_for": report.waits_for,
        "service": report.service,
        "stalls_at": json_instant(report.stalls_at),
        "stalled": report.is_stalled,
        "findings": list(report.findings),
        "parked": [delivery._asdict() for delivery in report.parked],
    }
