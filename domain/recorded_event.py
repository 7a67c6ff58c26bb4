"""A recorded event: an event as it was written, with what the log added."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from .event import Event


class ImportedFrom(Struct, frozen=True, omit_defaults=True):
    """Where an event stood before it was taken over into the ledger."""

    source: str
    """What the import called the store."""
    notification_id: int | None = None
    """Its number there; None if that store has none."""
    timestamp: str | None = None
    """The time in its payload, in ISO 8601; None if that cannot be read without the application's key."""


class Meta(Struct, frozen=True, omit_defaults=True):
    """Who and what wrote an event; stored as one JSON object beside the event."""

    actor: str | None = None
    """The person or program that asked for the event."""
    worker: str | None = None
    """The worker, or the service, that wrote the event."""
    epoch: int | None = None
    """The worker's lease epoch at that time."""
    traceparent: str | None = None
    """The W3C trace context of the work that wrote the event."""
    key_id: str | None = None
    """Which key encrypts the user's values, if any."""
    imported: ImportedFrom | None = None
    """Where the event stood before, if it was taken over from another store."""
    request: str | None = None
    """The fingerprint of the request that the append is the answer to, if a repeat of the request must be known."""


class RecordedEvent(Struct, frozen=True, gc=False):
    """An event that was read from the log."""

    position: int
    """Its number in the whole log, from 1, without gaps."""
    stream_id: str
    version: int
    """Its number in its stream, from 1, without gaps."""
    event: Event
    correlation_id: str
    """The saga or process that it belongs to. Events of a saga and of its participants have the saga's id here."""
    causation_position: int | None
    meta: Meta
    recorded_at: datetime
    """The database's clock when it was appended; it never decreases along the log."""
