"""The port to the log: what the worker, the projector and the audit need of a backend.

Nothing above this port assumes SQL. One `append` call is one transaction in one round trip; it carries many
independent appends, and one that conflicts does not fail its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol
from uuid import UUID

from msgspec import Struct
from msgspec.structs import astuple

from .instants import instant

if TYPE_CHECKING:
    from .start_requests import StartRequests

STATE_BYTES_MAX = 256 * 1024
"""The most bytes that one event's state may have."""
APPEND_EVENTS_MAX = 10_000
"""The most events that one append call may carry."""


class NewEvent(Struct, frozen=True, gc=False):
    """An event as its writer sends it. `digest` covers every other column here (see `digest.py`)."""

    stream_id: str
    version: int
    topic: str
    schema_version: int
    state: bytes
    correlation_id: str | None
    """None when it is the stream's own id."""
    causation_position: int | None
    meta: str
    """A JSON object."""
    digest: bytes

    def stored(self, position: int, recorded_at: datetime) -> StoredRow:
        """As the log stores it."""
        *sent, digest = astuple(self)
        return StoredRow._make((position, *sent, recorded_at, digest))


class StoredRow(NamedTuple):
    """An event as it is stored. `correlation_id` is as stored: None when it is the stream's own."""

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


EventPayload = tuple[str, str, int, bytes]
"""What an event says, and not where it stands: its stream, topic, schema version and state."""


class QueueEntry(NamedTuple):
    """What an append says about a saga's place in the due work.

    `due_at` None: it is over or parked, and leaves the due work. Otherwise the saga wants a worker from then on.
    `worker_id`: who holds it from now on; None releases it.
    """

    saga_id: str
    definition: str
    definition_version: int
    due_at: datetime | None
    worker_id: str | None


class Append(Struct, frozen=True, gc=False):
    """One independent append: all of its events, or none.

    The events of each stream are in version order; the first one's version says what the writer expects: that the
    stream ends just before it. Appends of one call are decided in the order given, so a later one may build on the
    versions of an earlier one; if that one conflicts, so does the later one.

    `notify` names sagas whose holder must look at them again, because this append wrote to their stream from outside:
    the due row is created or made due now, whoever holds it keeps it.
    """

    events: Sequence[NewEvent]
    due: QueueEntry | None = None
    notify: Sequence[QueueEntry] = ()


class FencingToken(NamedTuple):
    """A worker's lease, as it stands on what the worker writes."""

    worker_id: str
    epoch: int


class CheckpointUpdate(NamedTuple):
    """A consumer's compare-and-set on its position, in the transaction of the append call."""

    consumer: str
    expected: int
    position: int


class AppendCall(NamedTuple):
    """One transaction. The same `append_id` again gives the outcome of the first time."""

    append_id: UUID
    appends: Sequence[Append]
    epoch: FencingToken | None = None
    advances: Sequence[CheckpointUpdate] = ()


def check_size(call: AppendCall) -> None:
    """Raise `ValueError` for a call of more events than one transaction may have."""
    events = sum(len(append.events) for append in call.appends)
    if events > APPEND_EVENTS_MAX:
        raise ValueError(f"an append call of {events:,} events: split it into calls of at most {APPEND_EVENTS_MAX:,}")


class Appended(Struct, frozen=True, gc=False):
    """The append's events are durable, at contiguous positions in the order given."""

    first_position: int
    last_position: int


class Conflict(Struct, frozen=True, gc=False):
    """A stream did not end where the append expected; nothing of that append was written."""

    stream_id: str
    expected_version: int
    """The version at which the append believed the stream to end."""
    actual_version: int
    """The version at which it ends, including what earlier appends of the same call added."""


AppendOutcome = Appended | Conflict


class Receipt(NamedTuple):
    """What became of an append call: one outcome for each append, in order."""

    outcomes: list[AppendOutcome]
    recorded_us: int
    """When it was recorded, in microseconds since 1970-01-01 UTC."""

    @property
    def recorded_at(self) -> datetime:
        """The same as an instant."""
        return instant(self.recorded_us)


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
    """An event that does not stand where its stream needs it: proof of a deletion, an insertion or a reorder."""

    position: int
    stream_id: str
    version: int
    previous_version: int | None
    """The version found just before it in its stream; None if there is none."""


class Snapshot(NamedTuple):
    """A stream's state at a version, so that a long stream need not be read from its start."""

    stream_id: str
    version: int
    schema: str
    """Which code's state this is; a snapshot of another one is ignored."""
    state: bytes


class Claim(NamedTuple):
    """A saga that a worker has been given."""

    saga_id: str
    definition: str
    definition_version: int


class WorkerRow(NamedTuple):
    """A worker with a lease."""

    worker_id: str
    epoch: int
    host: str
    pid: int
    started_at: datetime
    lease_until: datetime
    sagas: int
    """How many sagas it holds."""


class PendingAppend(Protocol):
    """An append call on its way."""

    @property
    def pending(self) -> int | None:
        """The file descriptor that becomes readable when the answer comes; None when nobody would wait for it."""
        ...

    def receipt(self) -> Receipt:
        """Wait until the call is over, and give what `append` would; once."""
        ...

    def abandon(self) -> None:
        """Ask for no receipt: whether it is appended or not, nobody here wants to know."""
        ...


class EventLog(Protocol):
    """The append-only log."""

    writes_meanwhile: bool
    """Whether it writes what was sent while the sender goes on."""

    def append(self, call: AppendCall) -> Receipt:
        """Append, all of a call in one transaction.

        Raises `SupersededWorker` when the epoch no longer holds, `PositionConflict` when a consumer's position is
        not as expected (then nothing of the call is written), `Unavailable` when nothing was written for a reason
        outside, and `OutcomeUnknown` when that could not be learned.
        """
        ...

    def send(self, call: AppendCall) -> PendingAppend:
        """Begin to append, and return as soon as can be: a server goes on by itself, SQLite has appended by then.

        Raises what `append` raises, now or when the receipt is asked for.
        """
        ...

    def head(self) -> Head:
        """The end of the log."""
        ...

    def sealed_position(self) -> int:
        """The position up to which the hash chain covers the log. SQL seals inside `append`."""
        ...

    def read(self, after: int, *, limit: int, upto: int | None = None, topics: Sequence[str] = ()) -> list[StoredRow]:
        """Events with `after < position <= upto`, in order; of these topics only, if any are given."""
        ...

    def stream(self, stream_id: str, *, after: int = 0, upto: int | None = None) -> list[StoredRow]:
        """A stream's events with `after < version <= upto`, in order."""
        ...

    def streams(self, after: Sequence[tuple[str, int]]) -> list[StoredRow]:
        """The events of many streams, each beyond the version given with it, ordered by stream and version."""
        ...

    def payloads(self, parts: Sequence[Sequence[str]]) -> Iterator[list[EventPayload]]:
        """What a fold of many whole streams needs and no more, which is half as dear to read; part by part.

        A server reads the next part while the caller deals with one. The events of a stream stand together, in order
        of version; the streams of a part in any order.
        """
        ...

    def correlated(self, correlation_id: str, *, after: int = 0, limit: int | None = None) -> list[StoredRow]:
        """Every event of a process with `position > after`: its own stream's and its participants', in order."""
        ...

    def position_at(self, instant: datetime) -> int:
        """The last position recorded at or before an instant; 0 if there is none."""
        ...

    def appends(self, after: int, *, limit: int) -> list[AppendRow]:
        """Links of the hash chain with `last_position > after`, in order."""
        ...

    def misplaced(self, *, limit: int) -> list[MisplacedEvent]:
        """Events whose version does not follow the one before it in their stream, by position; for `verify`."""
        ...

    def snapshots(self, stream_ids: Sequence[str]) -> list[Snapshot]:
        """The snapshots there are of these streams."""
        ...

    def put_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        """Keep a snapshot for each stream; an older one gives way, a newer one stays."""
        ...

    def consumer_position(self, consumer: str) -> int:
        """How far a consumer has come; 0 if it never began."""
        ...

    def wait_beyond(self, position: int, timeout_seconds: float) -> int:
        """Block until the log's head is beyond a position or the time is up; gives the head's position then.

        SQLite notices foreign writes by `PRAGMA data_version`, within 100 ms; PostgreSQL by polling.
        """
        ...


class WorkQueue(Protocol):
    """Which sagas want a worker, and which worker holds them."""

    def register(self, *, host: str, pid: int, lease_seconds: float) -> FencingToken:
        """Take a lease under a new worker id, with an epoch above every earlier one.

        SQLite takes exactly one worker, held by an operating-system file lock that dies with the process: raises
        `WorkerRunning` if there is another.
        """
        ...

    def renew(self, epoch: FencingToken, *, lease_seconds: float) -> None:
        """Extend the lease. Raises `SupersededWorker` if it was taken over."""
        ...

    def retire(self, epoch: FencingToken) -> None:
        """Give up the lease and everything held under it."""
        ...

    def take_over(self) -> list[str]:
        """End every lease that has run out and release what it held; gives those workers' ids."""
        ...

    def has_work(self, epoch: FencingToken, *, definitions: Sequence[tuple[str, int]]) -> bool:
        """Whether there is something for this worker: a due saga that nobody holds, a nudge, or a request.

        Asked many times a second and almost always in vain, so it only looks: it waits for no lock and writes nothing.
        """
        ...

    def claim(self, epoch: FencingToken, *, definitions: Sequence[tuple[str, int]], limit: int) -> list[Claim]:
        """Take up to `limit` due sagas of these definitions (name, version) that nobody holds, earliest due first."""
        ...

    def notified(self, epoch: FencingToken) -> list[str]:
        """The sagas held by this worker to which someone else wrote since it last asked."""
        ...

    def release(self, epoch: FencingToken, saga_ids: Sequence[str]) -> None:
        """Give sagas back: they stay due, and nobody holds them."""
        ...

    def due(self) -> list[QueueEntry]:
        """Every row of the due work, for the sweeper that recomputes it from the log."""
        ...

    def put_due(self, changes: Sequence[QueueEntry]) -> None:
        """Set due rows as given; for the sweeper."""
        ...

    def workers(self) -> list[WorkerRow]:
        """Every worker with a lease."""
        ...


class Definitions(Protocol):
    """Which structure each version of a definition had when its first saga started."""

    def fingerprints(self) -> dict[tuple[str, int], str]:
        """The fingerprint on record of each (name, version) that sagas were started with."""
        ...

    def record_fingerprint(self, name: str, version: int, fingerprint: str) -> str:
        """Put a fingerprint on record unless there is one; gives the one that is."""
        ...


class Backend(EventLog, WorkQueue, Definitions, Protocol):
    """A database that holds a ledger."""

    url: str

    @property
    def requests(self) -> StartRequests | None:
        """Sagas asked for in transactions of others; None where a database cannot share its transactions."""
        ...

    def close(self) -> None:
        """Release every connection and lock."""
        ...
