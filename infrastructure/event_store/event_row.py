"""An event as a row of the log: as its writer sends it, and as the log stores it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import astuple

from .hash_chain import digest

STATE_BYTES_MAX = 256 * 1024
"""The most bytes that one event's state may have."""


class NewEvent(Struct, frozen=True, gc=False):
    """An event as its writer sends it. `digest` covers every other column here (see `hash_chain.py`)."""

    stream_id: str
    version: int
    topic: str
    schema_version: int
    state: bytes
    correlation_id: str | None
    """None: the stream's own id."""
    causation_position: int | None
    meta: str
    """A JSON object."""
    digest: bytes

    @classmethod
    def with_digest(
        cls,
        stream_id: str,
        version: int,
        topic: str,
        schema_version: int,
        state: bytes,
        correlation_id: str | None = None,
        causation_position: int | None = None,
        meta: str = "{}",
    ) -> NewEvent:
        """Return an event whose payload is encoded already, with its digest."""
        columns = (stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta)
        return cls(*columns, digest(*columns))

    def stored(self, position: int, recorded_at: datetime) -> StoredRow:
        """Return the row that the log stores for this event."""
        *sent, digest_ = astuple(self)
        return StoredRow._make((position, *sent, recorded_at, digest_))


class StoredRow(NamedTuple):
    """An event as the log stores it. `correlation_id` is the stored one: None for the stream's own id."""

    position: int
    stream_id: str
    version: int
    topic: str
    schema_version: int
    state: bytes
    correlation_id: str | None
    causation_position: int | None
    meta: str
    recorded_at: datetime
    digest: bytes

    def as_sent(self) -> NewEvent:
        """Return the event as its writer sent it."""
        return NewEvent(*self[1:9], self.digest)


EventPayload = tuple[str, str, int, bytes]
"""The columns that a fold reads: stream id, topic, schema version, state."""
