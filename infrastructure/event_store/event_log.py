"""The port to the append-only log.

One `append` call is one transaction, and one round trip to a server. It carries many independent appends, and one that
conflicts does not fail the others. Nothing above this port assumes SQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from .append_call import AppendCall, PendingAppend, Receipt
from .event_row import EventPayload, StoredRow

HEAD_MISSING: Final = "the row of table head is missing, so the end of the log is unknown: restore it from a backup"


class Head(NamedTuple):
    """The end of the log."""

    position: int
    hash: bytes
    recorded_at: datetime | None
    """When the last event was recorded; None for an empty log."""


class AppendRow(NamedTuple):
    """One link of the hash chain."""

    append_id: UUID
    first_position: int
    last_position: int
    recorded_at: datetime
    hash: bytes


class MisplacedEvent(NamedTuple):
    """An event whose version does not follow the one before it: proof of a deletion, an insertion or a reorder."""

    position: int
    stream_id: str
    version: int
    previous_version: int | None
    """The version of the event before it in its stream; None if there is none."""


class EventTopic(NamedTuple):
    """A type of events that the log has."""

    topic: str
    schema_version: int
    events: int


class StrayRow(NamedTuple):
    """A row of the log's tables that is outside of the log: before its first position, or beyond its head."""

    table: str
    position: int


class Snapshot(NamedTuple):
    """A stream's state at a version, so that a long stream need not be read from its start."""

    stream_id: str
    version: int
    schema: str
    """What the state is of, as its writer names it; a reader ignores a snapshot of anything else."""
    state: bytes


class EventLog(Protocol):
    """The append-only log: the positions from 1 to the head's.

    No reader and no decision ever sees a row outside of that range. A method that reads raises `DamagedLedger` for a
    stored value that cannot be read.
    """

    writes_meanwhile: bool
    """Whether a call that was sent is written while its sender goes on."""

    def append(self, call: AppendCall) -> Receipt:
        """Append all of a call in one transaction.

        Raises `SupersededWorker` if the lease of its token was taken over, and `PositionConflict` if a consumer's
        checkpoint is not as expected; then nothing of the call is written. Raises `Unavailable` if an outside cause
        kept it from being written, and `OutcomeUnknown` if whether it was written could not be learned.
        """
        ...

    def send(self, call: AppendCall) -> PendingAppend:
        """Begin to append and return as soon as possible: a server goes on by itself, SQLite has appended by then.

        Raises what `append` raises, now or when the receipt is asked for.
        """
        ...

    def head(self) -> Head:
        """Return the end of the log. Raises `DamagedLedger` if it is missing or cannot be read."""
        ...

    def sealed_position(self) -> int:
        """Return the position up to which the hash chain covers the log. The SQL backends seal inside `append`."""
        ...

    def read(self, after: int, *, limit: int, upto: int | None = None, topics: Sequence[str] = ()) -> list[StoredRow]:
        """Return events with `after < position <= upto`, in order; only those of `topics`, if any are given."""
        ...

    def stream(self, stream_id: str, *, after: int = 0, upto: int | None = None) -> list[StoredRow]:
        """Return a stream's events with `after < version <= upto`, in order."""
        ...

    def streams(self, after: Sequence[tuple[str, int]]) -> list[StoredRow]:
        """Return the events of many streams, each beyond the version given with it, ordered by stream and version."""
        ...

    def payloads(self, parts: Sequence[Sequence[str]]) -> Iterator[list[EventPayload]]:
        """Yield what a fold of whole streams needs, for one part of the stream ids after the other.

        It costs half of what `streams` does, and a server reads the next part while the caller works on one. The
        events of a stream stand together, in order of version; the streams of a part are in no particular order.
        """
        ...

    def correlated(self, correlation_id: str, *, after: int = 0, limit: int | None = None) -> list[StoredRow]:
        """Return the events of a process with `position > after`, in order: its own stream's and its participants'."""
        ...

    def position_at(self, instant: datetime) -> int:
        """Return the last position recorded at or before an instant; 0 if there is none."""
        ...

    def appends(self, after: int, *, limit: int) -> list[AppendRow]:
        """Return the links of the hash chain with `last_position > after`, in order."""
        ...

    def find_append(self, append_id: UUID) -> AppendRow | None:
        """Return what was appended under an id; None if nothing was."""
        ...

    def misplaced(self, *, limit: int) -> list[MisplacedEvent]:
        """Return the events whose version does not follow the one before it in their stream, by position."""
        ...

    def topics(self) -> list[EventTopic]:
        """Return the types of events that the log has, by topic and schema version, each with how many there are."""
        ...

    def stray_rows(self, *, limit: int) -> list[StrayRow]:
        """Return rows of the log's tables that are outside of the log."""
        ...

    def snapshots(self, stream_ids: Sequence[str]) -> list[Snapshot]:
        """Return the stored snapshots of these streams."""
        ...

    def put_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        """Store a snapshot for each stream, unless the stored one is newer and not beyond its stream."""
        ...

    def all_snapshots(self) -> Iterator[Snapshot]:
        """Yield every stored snapshot, some at a time."""
        ...

    def digests(self, ends: Sequence[tuple[str, int]]) -> dict[str, bytes]:
        """Return, for streams that have an event of the version given, the digest of that event."""
        ...

    def consumers(self) -> list[tuple[str, int]]:
        """Return every consumer that has a checkpoint, with it, by name."""
        ...

    def consumer_position(self, consumer: str) -> int:
        """Return a consumer's checkpoint; 0 if it has none yet."""
        ...

    def wait_beyond(self, position: int, timeout_seconds: float) -> int:
        """Block until the log has grown beyond a position or the time is up, and return the head's position then."""
        ...
