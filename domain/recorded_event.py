"""A recorded event: what was written, and what the log added to it."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from .event import Event


class Meta(Struct, frozen=True, omit_defaults=True):
    """Who and what wrote an event; stored as one JSON object beside it."""

    actor: str | None = None
    """The person or program that asked for it."""
    worker: str | None = None
    """The worker that wrote it."""
    epoch: int | None = None
    """That worker's lease epoch when it wrote."""
    traceparent: str | None = None
    """W3C trace context of the work that wrote it."""
    key_id: str | None = None
    """Which key encrypts the user's values, if any."""


class RecordedEvent(Struct, frozen=True, gc=False):
    """An event of the log, read back."""

    position: int
    """Where it stands in the whole log, from 1, without gaps."""
    stream_id: str
    version: int
    """Where it stands in its stream, from 1, without gaps."""
    event: Event
    correlation_id: str
    """The process that it belongs to: a saga's own id, on its own events and on those of its participants."""
    causation_position: int | None
    meta: Meta
    recorded_at: datetime
    """The database's clock when it was appended; never decreases along the log."""
