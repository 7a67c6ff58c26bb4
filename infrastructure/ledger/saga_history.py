"""The history of a saga for an audit: each of its events, also those whose types the app in use does not register."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec import Raw

from ...domain.errors import UnknownEvent
from ...domain.event import Event
from ...domain.recorded_event import Meta, RecordedEvent
from ...domain.saga.event_parts import WaitKind
from ...domain.saga.events import SagaStarted, StepStarted
from ...domain.saga.evolve import rebuild
from ...domain.saga.state import SagaState
from ...projections.projection import Row
from ..errors import AppPartMissing, SagaNotFound
from ..event_store.codec import UnreadableEvent
from ..event_store.event_row import StoredRow
from . import state_reader
from .context import LedgerContext
from .moment import Moment, SagaMoment, saga_moment


class HistoryEntry(NamedTuple):
    """One event of a saga's process."""

    position: int
    stream_id: str
    version: int
    topic: str
    """The stored name of the event's type."""
    event: Event | None
    """The event; None if the app does not register its type."""
    data: Event | Raw
    """The event, or the JSON that is stored of it; stored bytes that are not JSON become base64 in a JSON string."""
    correlation_id: str
    causation_position: int | None
    meta: Meta
    recorded_at: datetime
    schema_version: int
    """The version of the fields of `data`."""


class SagaHistory(NamedTuple):
    """What was recorded of a saga."""

    saga_id: str
    entries: list[HistoryEntry]
    state: SagaState | None
    """The state that its events give; None for a choreographed saga whose choreography the app does not declare."""
    then: SagaMoment | None = None
    """The moment up to which this is; None if it is all."""

    @property
    def own_events(self) -> list[RecordedEvent]:
        """The events of the saga itself, without those of its participants."""
        return [
            RecordedEvent(
                entry.position,
                entry.stream_id,
                entry.version,
                entry.event,
                entry.correlation_id,
                entry.causation_position,
                entry.meta,
                entry.recorded_at,
            )
            for entry in self.entries
            if entry.stream_id == self.saga_id and entry.event is not None
        ]


def read_history(
    context: LedgerContext, saga_id: str, *, participants: bool = True, at: Moment | None = None
) -> SagaHistory:
    """Return everything that was recorded of a saga, now or up to a moment, in order, with its state then.

    Unless told otherwise, this includes the events of its participants and of its sub-sagas.
    Raises `SagaNotFound`, also for a moment before the saga began; `InvalidInput` for what is no moment of it; and
    `AppPartMissing` for a moment of a choreographed saga whose choreography the app does not declare.
    """
    if context.app.choreography_of(saga_id) is not None:
        recorded = state_reader.history(context, saga_id, participants=participants)
        entries = [_entry(each) for each in recorded]
    else:
        entries = _stored_history(context, saga_id, participants=participants)
    then = None
    if at is not None:
        own_entries = [entry for entry in entries if entry.stream_id == saga_id]
        if not own_entries:
            raise AppPartMissing(f"the past of saga {saga_id!r}, which has no coordinator,", "its choreography")
        then = saga_moment(context, saga_id, own_entries, at)
        entries = [entry for entry in entries if then.includes(saga_id, entry)]
    own = [entry.event for entry in entries if entry.stream_id == saga_id and entry.event is not None]
    state = rebuild(saga_id, own) if own and isinstance(own[0], SagaStarted) else None
    return SagaHistory(saga_id, entries, state, then)


def saga_row(context: LedgerContext, saga_id: str) -> Row | None:
    """Return the row of the view `sagas` for a saga; None if the view has none."""
    rows = context.queries.query("sagas", where={"saga_id": saga_id}, limit=1).rows
    return rows[0] if rows else None


def _stored_history(context: LedgerContext, saga_id: str, *, participants: bool) -> list[HistoryEntry]:
    if not participants and (own := context.backend.stream(saga_id)):
        return [read_entry(context, row) for row in own]
    found: list[HistoryEntry] = []
    processes = [saga_id]
    for process_id in processes:
        entries = [read_entry(context, row) for row in context.backend.correlated(process_id)]
        found += entries
        processes += _sub_sagas(entries)
    if not found:
        raise SagaNotFound(saga_id)
    return sorted(found, key=lambda entry: entry.position)


def _sub_sagas(entries: Iterable[HistoryEntry]) -> Iterable[str]:
    for entry in entries:
        wait = entry.event.wait if isinstance(entry.event, StepStarted) else None
        if wait is not None and wait.kind is WaitKind.SAGA and wait.target is not None:
            yield wait.target


def read_entry(context: LedgerContext, row: StoredRow) -> HistoryEntry:
    """Read a stored event, or take what is stored if its type or schema version is not registered."""
    try:
        return _entry(context.codec.decode(row))
    except UnreadableEvent as error:
        if not isinstance(error.__cause__, UnknownEvent):
            raise
    return HistoryEntry(
        row.position,
        row.stream_id,
        row.version,
        row.topic,
        None,
        _json(row.state),
        row.correlation_id or row.stream_id,
        row.causation_position,
        msgspec.json.decode(row.meta, type=Meta),
        row.recorded_at,
        row.schema_version,
    )


def _json(stored: bytes) -> Raw:
    try:
        msgspec.json.decode(stored)
    except msgspec.DecodeError:
        return Raw(msgspec.json.encode(stored))
    return Raw(stored)


def _entry(recorded: RecordedEvent) -> HistoryEntry:
    return HistoryEntry(
        recorded.position,
        recorded.stream_id,
        recorded.version,
        type(recorded.event).schema.name,
        recorded.event,
        recorded.event,
        recorded.correlation_id,
        recorded.causation_position,
        recorded.meta,
        recorded.recorded_at,
        type(recorded.event).schema.version,
    )
