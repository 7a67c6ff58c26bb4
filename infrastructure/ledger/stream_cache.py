"""Building appends: a saga's facts, and the events of participants that its local steps command.

Commands are decided one after the other, just before the append, against cached participant state. So a thousand
sagas on one hot article are decided in turn instead of conflicting with each other; after a conflict with another
process the stream is read on from what is certain of it, and the same commands are decided again.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Container, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from ...domain.errors import SagaledgerError
from ...domain.participant import Participant
from ...domain.recorded_event import Meta
from ..event_store.codec import Codec, UnreadableEvent
from ..event_store.port import Conflict, Snapshot, StoredRow
from .app import App
from .append_builder import AppendBuilder, CachedState, NotDecidableYet, StreamsMissing, StreamsUnsettled

__all__ = ["AppendBuilder", "NotDecidableYet", "StreamCache", "StreamsMissing", "StreamsUnsettled"]

READ_STREAMS_MAX = 50
"""The most streams of one query: each may have hundreds of events beyond its snapshot."""
STREAMS_CACHED_MAX = 50_000
LOADS_MAX = 20
SNAPSHOT_EVERY_EVENTS = 500

log = logging.getLogger(__name__)


class StreamSource(Protocol):
    """What the committer needs of a log."""

    def streams(self, after: Sequence[tuple[str, int]]) -> list[StoredRow]:
        """The events of many streams, each beyond the version given with it."""
        ...

    def snapshots(self, stream_ids: Sequence[str]) -> list[Snapshot]:
        """The snapshots there are of these streams."""
        ...

    def put_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        """Keep a snapshot for each stream."""
        ...


T = TypeVar("T")


class StreamCache:
    """Drafts appends against the participants' cached state. Belongs to one thread."""

    def __init__(
        self, app: App, log: StreamSource, codec: Codec, *, between_reads: Callable[[], None] = lambda: None
    ) -> None:
        self.app = app
        self.codec = codec
        self._log = log
        self._between_reads = between_reads
        self._certain: OrderedDict[str, CachedState] = OrderedDict()
        """Streams as they are in the log, or were: the log only grows, so they need not be read again up to there."""
        self._believed: dict[str, CachedState] = {}
        """What they come to with the drafts that were sent, or will be. One that is in doubt is only in the other."""
        self._snapshots_due: dict[str, CachedState] = {}
        self._schemas: dict[str, str] = {}
        self._fresh: set[str] = set()
        """The streams that were read since this batch began."""
        self.written: set[str] = set()
        """The streams that drafts of this batch write to."""
        self._unsettled: Collection[str] = ()
        """The streams that batches before it write to still."""
        self._unreadable: dict[str, SagaledgerError] = {}

    def build(self, builders: Iterable[Callable[[], T]], *, unsettled: Collection[str] = ()) -> list[T]:
        """Build drafts, in order as far as can be: those that miss streams come last, after one query for them all.

        A builder is called again from its start, so it must have no effect before it returns. One that has to wait
        until this batch is settled, or the one before, which writes to `unsettled` streams still, is left out. Raises
        `Unavailable`, and then what was built must not be sent.
        """
        self._fresh.clear()
        self._unreadable.clear()
        self.written = set()
        self._unsettled = unsettled
        built: list[T] = []
        waiting = list(builders)
        for _ in range(LOADS_MAX):
            missing: set[str] = set()
            later: list[Callable[[], T]] = []
            for builder in waiting:
                try:
                    built.append(builder())
                except StreamsMissing as request:
                    missing |= request.stream_ids
                    later.append(builder)
                except StreamsUnsettled:
                    continue
            if not later:
                return built
            self._load(sorted(missing))
            waiting = later
        raise RuntimeError(f"drafts keep asking for more streams after {LOADS_MAX} loads")

    def draft(self, correlation_id: str, meta: Meta, *, causation_position: int | None = None) -> AppendBuilder:
        """Begin one append on behalf of a process."""
        return AppendBuilder(self, correlation_id, self.codec.envelope(correlation_id, causation_position, meta))

    def known(self, stream_id: str) -> CachedState | None:
        """A stream's end, if it is cached. Raises `UnreadableEvent` if it could not be read."""
        if stream_id in self._unreadable:
            raise self._unreadable[stream_id]
        return self._believed.get(stream_id)

    def require_fresh(self, stream_ids: set[str]) -> None:
        """Make sure of streams that a decision rests on without writing to them, which no append would check.

        Raises `NotDecidableYet` unless they were read since this batch began, and nothing of this batch writes to them.
        """
        unsettled = {id_ for id_ in stream_ids if id_ in self.written or id_ in self._unsettled}
        if unsettled:
            raise StreamsUnsettled(f"streams that this batch, or the one before, writes to: {sorted(unsettled)}")
        if not stream_ids <= self._fresh:
            raise StreamsMissing(stream_ids - self._fresh)

    def stage(self, overlay: dict[str, CachedState]) -> None:
        """Believe that a draft will be written; `confirm` it once it is, `forget` it if it was not."""
        for stream_id, known in overlay.items():
            before = self._believed.get(stream_id)
            if before is not None and before.version // SNAPSHOT_EVERY_EVENTS != known.version // SNAPSHOT_EVERY_EVENTS:
                self._snapshots_due[stream_id] = known
            if before is None or before.version != known.version:
                self.written.add(stream_id)
            self._believed[stream_id] = known
            self._certain.move_to_end(stream_id)

    def confirm(self, overlay: dict[str, CachedState]) -> None:
        """A draft that was kept is in the log."""
        for stream_id, known in overlay.items():
            certain = self._certain.get(stream_id)
            if certain is not None and certain.version < known.version:
                self._certain[stream_id] = known

    def trim(self) -> None:
        """Forget the streams that were not used for the longest time; between batches only."""
        while len(self._certain) > STREAMS_CACHED_MAX:
            stream_id, _ = self._certain.popitem(last=False)
            self._believed.pop(stream_id, None)

    def evict(self, stream_ids: Iterable[str], conflict: Conflict | None = None) -> bool:
        """Read on in these streams when they are needed next: what was believed of them was not written.

        Gives whether everything had to be forgotten.
        """
        for stream_id in stream_ids:
            self._believed.pop(stream_id, None)
            self._snapshots_due.pop(stream_id, None)
        if conflict is not None:
            certain = self._certain.get(conflict.stream_id)
            if certain is not None and certain.version > conflict.actual_version:
                self.evict_all()  # the database lost what it had acknowledged: a replica took over
                return True
        return False

    def evict_all(self) -> None:
        """Read everything again: what was written is in doubt."""
        self._certain.clear()
        self._believed.clear()
        self._snapshots_due.clear()

    def snapshot(self, *, unsent: Collection[Container[str]] = ()) -> None:
        """Write the snapshots that came due, but for streams that drafts not yet acknowledged write to."""
        due = {id_: known for id_, known in self._snapshots_due.items() if not any(id_ in draft for draft in unsent)}
        if due:
            for stream_id in due:
                del self._snapshots_due[stream_id]
            self._log.put_snapshots([self._to_snapshot(stream_id, known) for stream_id, known in due.items()])

    def _load(self, stream_ids: Sequence[str]) -> None:
        """Read these streams' ends, so many at a time: what has to go on meanwhile goes on in between."""
        for begin in range(0, len(stream_ids), READ_STREAMS_MAX):
            self._read(stream_ids[begin : begin + READ_STREAMS_MAX])
            self._between_reads()

    def _read(self, stream_ids: Sequence[str]) -> None:
        """Read these streams' ends, from what is certain of them; one that cannot be read fails who asks for it."""
        loaded = {stream_id: self._certain[stream_id] for stream_id in stream_ids if stream_id in self._certain}
        loaded |= self._from_snapshots([stream_id for stream_id in stream_ids if stream_id not in loaded])
        for stream_id in stream_ids:
            loaded.setdefault(stream_id, CachedState(0, self._participant(stream_id).initial))
        for row in self._log.streams([(stream_id, loaded[stream_id].version) for stream_id in stream_ids]):
            if row.stream_id not in self._unreadable:
                try:
                    event = self.codec.decode(row).event
                except UnreadableEvent as error:
                    self._unreadable[row.stream_id] = error
                else:
                    state = self._participant(row.stream_id).evolve(loaded[row.stream_id].state, event)
                    loaded[row.stream_id] = CachedState(row.version, state)
        read = {stream_id: known for stream_id, known in loaded.items() if stream_id not in self._unreadable}
        self._certain.update(read)
        self._believed.update(read)
        self._fresh.update(loaded)

    def _from_snapshots(self, stream_ids: Sequence[str]) -> dict[str, CachedState]:
        found: dict[str, CachedState] = {}
        for snapshot in self._log.snapshots(stream_ids) if stream_ids else ():
            participant = self._participant(snapshot.stream_id)
            if snapshot.schema != self._schema(participant):
                continue
            try:
                state = msgspec.json.decode(snapshot.state, type=participant.state_type)
            except msgspec.DecodeError as error:
                log.warning("the snapshot of %s is passed over, it cannot be read: %s", snapshot.stream_id, error)
            else:
                found[snapshot.stream_id] = CachedState(snapshot.version, state)
        return found

    def _participant(self, stream_id: str) -> Participant[Any]:
        participant = self.app.participant_of(stream_id)
        if participant is None:
            raise LookupError(f"stream {stream_id!r} belongs to no registered participant")
        return participant

    def _schema(self, participant: Participant[Any]) -> str:
        """Names the shape of a participant's state, so that a snapshot of another shape is ignored."""
        schema = self._schemas.get(participant.category)
        if schema is None:
            shape = msgspec.json.encode(msgspec.json.schema(participant.state_type), order="deterministic")
            schema = f"{participant.category}:{hashlib.sha256(shape).hexdigest()[:16]}"
            self._schemas[participant.category] = schema
        return schema

    def _to_snapshot(self, stream_id: str, known: CachedState) -> Snapshot:
        schema = self._schema(self._participant(stream_id))
        return Snapshot(stream_id, known.version, schema, msgspec.json.encode(known.state))
