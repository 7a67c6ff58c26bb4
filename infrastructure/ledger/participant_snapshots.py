"""Snapshots of participants' streams, so that a long stream need not be read from its start."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from ...domain.participant import Participant
from ..event_store.event_log import Snapshot
from .app import App
from .append_builder import CachedState

_log = logging.getLogger(__name__)


class SnapshotStore(Protocol):
    """The part of an event log that keeps snapshots."""

    def snapshots(self, stream_ids: Sequence[str]) -> list[Snapshot]:
        """The snapshots of these streams, as far as there are any."""
        ...

    def put_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        """Keep a snapshot for each stream."""
        ...


class ParticipantSnapshots:
    """Loads and saves the states of participants' streams. A snapshot of another state type is ignored."""

    def __init__(self, app: App, store: SnapshotStore) -> None:
        self._app = app
        self._store = store
        self._schemas: dict[str, str] = {}

    def load(self, stream_ids: Sequence[str]) -> dict[str, CachedState]:
        """The states of these streams at their latest usable snapshots."""
        found: dict[str, CachedState] = {}
        for snapshot in self._store.snapshots(stream_ids) if stream_ids else ():
            participant = participant_of(self._app, snapshot.stream_id)
            if snapshot.schema != self._schema(participant):
                continue
            try:
                state = msgspec.json.decode(snapshot.state, type=participant.state_type)
            except msgspec.DecodeError as error:
                _log.warning("the snapshot of %s cannot be read, and is ignored: %s", snapshot.stream_id, error)
            else:
                found[snapshot.stream_id] = CachedState(snapshot.version, state)
        return found

    def save(self, states: Mapping[str, CachedState]) -> None:
        """Keep these states as snapshots."""
        self._store.put_snapshots([self._snapshot(stream_id, cached) for stream_id, cached in states.items()])

    def _snapshot(self, stream_id: str, cached: CachedState) -> Snapshot:
        schema = self._schema(participant_of(self._app, stream_id))
        return Snapshot(stream_id, cached.version, schema, msgspec.json.encode(cached.state))

    def _schema(self, participant: Participant[Any]) -> str:
        """A name for the type of a participant's state: it changes with the type's JSON schema."""
        schema = self._schemas.get(participant.category)
        if schema is None:
            shape = msgspec.json.encode(msgspec.json.schema(participant.state_type), order="deterministic")
            schema = f"{participant.category}:{hashlib.sha256(shape).hexdigest()[:16]}"
            self._schemas[participant.category] = schema
        return schema


def participant_of(app: App, stream_id: str) -> Participant[Any]:
    """The participant that a stream belongs to. Raises `LookupError` if none is registered."""
    participant = app.participant_of(stream_id)
    if participant is None:
        raise LookupError(f"stream {stream_id!r} belongs to no registered participant")
    return participant
