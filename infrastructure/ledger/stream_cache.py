"""A cache of participants' streams, on which the commands of local steps are decided just before the append.

Commands are decided one after the other, so a thousand sagas on one hot article take turns instead of conflicting with
each other. After a conflict with another process, the stream is read on from its certain state, and the same commands
are decided again.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from ...domain.errors import DefinitionError, SagaledgerError
from ...domain.recorded_event import Meta
from ...domain.user_code import contained, is_interruption, shown
from ..errors import Unavailable
from ..event_store.append_call import Conflict
from ..event_store.codec import Codec, UnreadableEvent
from ..event_store.event_row import StoredRow
from .app import App
from .append_builder import AppendBuilder, CachedState, NotDecidableYet, StreamsMissing, StreamsUnsettled
from .participant_snapshots import ParticipantSnapshots, SnapshotStore, participant_of

__all__ = ["AppendBuilder", "NotDecidableYet", "StreamCache", "StreamsMissing", "StreamsUnsettled"]

_log = logging.getLogger(__name__)

READ_STREAMS_MAX = 50
"""The most streams of one query: each may have hundreds of events beyond its snapshot."""
STREAMS_CACHED_MAX = 50_000
LOADS_MAX = 20
SNAPSHOT_EVERY_EVENTS = 500


class StreamSource(SnapshotStore, Protocol):
    """The part of an event log that a stream cache reads participants from."""

    def streams(self, after: Sequence[tuple[str, int]]) -> list[StoredRow]:
        """The events of many streams, each beyond the version given with it."""
        ...


T = TypeVar("T")


class StreamCache:
    """Participants' cached state, and the appends that are built on it. Belongs to one thread."""

    def __init__(
        self, app: App, log: StreamSource, codec: Codec, *, between_reads: Callable[[], None] = lambda: None
    ) -> None:
        self.app = app
        self.codec = codec
        self._log = log
        self._between_reads = between_reads
        self._snapshots = ParticipantSnapshots(app, log)
        self._certain: OrderedDict[str, CachedState] = OrderedDict()
        """Certain state: what was read or acknowledged. The log only grows, so streams are read on from here."""
        self._believed: dict[str, CachedState] = {}
        """Speculative state: the certain state plus unacknowledged appends. A stream in doubt has no entry here."""
        self._snapshots_due: dict[str, CachedState] = {}
        self._fresh: set[str] = set()
        """The streams read since this batch began."""
        self.written: set[str] = set()
        """The streams that drafts of this batch write to."""
        self._unsettled: Collection[str] = ()
        """The streams that earlier batches write to and are not settled."""
        self._unreadable: dict[str, SagaledgerError] = {}
        self._may_load = True
        """Whether drafts may still ask for streams; if not, one that does cannot be decided."""

    def build(self, builders: Iterable[Callable[[], T]], *, unsettled: Collection[str] = ()) -> list[T]:
        """Call builders of drafts, in order; those that miss streams are called again after one query for all of them.

        A builder must have no effect before it returns. One that asks for other streams each time it is called meets
        `DefinitionError` after `LOADS_MAX` queries. A builder whose streams this batch or an unsettled one
        (`unsettled`) writes to is left out: its draft has to wait. Raises `Unavailable`; then nothing that was built
        may be sent.
        """
        self._fresh.clear()
        self._unreadable.clear()
        self.written = set()
        self._unsettled = unsettled
        built: list[T] = []
        waiting = list(builders)
        for loads in range(LOADS_MAX + 1):
            self._may_load = loads < LOADS_MAX
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
        raise AssertionError("unreachable: no draft asks for streams in the last round")

    def missing(self, stream_ids: set[str]) -> StreamsMissing | DefinitionError:
        """Returns what a draft raises that needs these streams first."""
        if self._may_load:
            return StreamsMissing(stream_ids)
        return DefinitionError(
            f"{min(stream_ids)!r} is another participant's stream than those that were asked for before: derive "
            "the keys of commands from the input, not from a random number or the time"
        )

    def draft(self, correlation_id: str, meta: Meta, *, causation_position: int | None = None) -> AppendBuilder:
        """A new append on behalf of a process."""
        return AppendBuilder(self, correlation_id, self.codec.envelope(correlation_id, causation_position, meta))

    def known(self, stream_id: str) -> CachedState | None:
        """A stream's end, if it is cached. Raises `UnreadableEvent` if it could not be read."""
        if stream_id in self._unreadable:
            raise self._unreadable[stream_id]
        return self._believed.get(stream_id)

    def require_fresh(self, stream_ids: set[str]) -> None:
        """Check streams that a decision rests on without writing to them, which no append would check.

        Raises `NotDecidableYet` unless they were read since this batch began, and nothing of this batch writes to them.
        """
        unsettled = {id_ for id_ in stream_ids if id_ in self.written or id_ in self._unsettled}
        if unsettled:
            raise StreamsUnsettled(f"streams that this batch, or the one before, writes to: {sorted(unsettled)}")
        if not stream_ids <= self._fresh:
            raise self.missing(stream_ids - self._fresh)

    def stage(self, overlay: dict[str, CachedState]) -> None:
        """Take a draft as written: `confirm` it once it is acknowledged, `evict` its streams if it was not written."""
        for stream_id, known in overlay.items():
            before = self._believed.get(stream_id)
            if before is None or before.version != known.version:
                self.written.add(stream_id)
            self._believed[stream_id] = known
            self._certain.move_to_end(stream_id)

    def confirm(self, overlay: Mapping[str, CachedState]) -> None:
        """A staged draft is acknowledged: its states are certain, and a snapshot of such a state may be due."""
        for stream_id, known in overlay.items():
            certain = self._certain.get(stream_id)
            if certain is not None and certain.version < known.version:
                self._certain[stream_id] = known
                if certain.version // SNAPSHOT_EVERY_EVENTS != known.version // SNAPSHOT_EVERY_EVENTS:
                    self._snapshots_due[stream_id] = known

    def trim(self) -> None:
        """Drop the streams that were not used for the longest time. Call it between batches only."""
        while len(self._certain) > STREAMS_CACHED_MAX:
            stream_id, _ = self._certain.popitem(last=False)
            self._believed.pop(stream_id, None)

    def evict(self, stream_ids: Iterable[str], conflict: Conflict | None = None) -> bool:
        """Drop the speculative state of streams of which an append was not written: they are read on when needed.

        Returns whether everything had to be dropped, because the database lost what it had acknowledged.
        """
        for stream_id in stream_ids:
            self._believed.pop(stream_id, None)
        if conflict is not None:
            certain = self._certain.get(conflict.stream_id)
            if certain is not None and certain.version > conflict.actual_version:
                self.evict_all()  # the stream is shorter than it was: a replica took over
                return True
        return False

    def evict_all(self) -> None:
        """Drop everything: it is in doubt what was written."""
        self._certain.clear()
        self._believed.clear()
        self._snapshots_due.clear()

    def confirm_staged(self) -> None:
        """Every staged draft is acknowledged."""
        self.confirm(self._believed)

    def snapshot(self) -> None:
        """Write the snapshots that are due, which are of acknowledged states only. Raises `Unavailable`."""
        while self._snapshots_due:
            stream_id, known = next(iter(self._snapshots_due.items()))
            try:
                self._snapshots.save({stream_id: known})
            except Unavailable:
                raise
            except BaseException as error:  # a state that cannot be written costs reading, and nothing else
                if is_interruption(error):
                    raise
                _log.warning("no snapshot of %s is kept: %s", stream_id, shown(error))
            del self._snapshots_due[stream_id]

    def _load(self, stream_ids: Sequence[str]) -> None:
        """Read these streams, some at a time, and call `between_reads` after each part."""
        for begin in range(0, len(stream_ids), READ_STREAMS_MAX):
            self._read(stream_ids[begin : begin + READ_STREAMS_MAX])
            self._between_reads()

    def _read(self, stream_ids: Sequence[str]) -> None:
        """Read these streams on from their certain state; one that cannot be read raises when it is asked for."""
        loaded = {stream_id: self._certain[stream_id] for stream_id in stream_ids if stream_id in self._certain}
        loaded |= self._from_snapshots([stream_id for stream_id in stream_ids if stream_id not in loaded])
        for stream_id in stream_ids:
            loaded.setdefault(stream_id, CachedState(0, participant_of(self.app, stream_id).initial))
        for row in self._log.streams([(stream_id, loaded[stream_id].version) for stream_id in stream_ids]):
            if row.stream_id not in self._unreadable:
                try:
                    state = self._evolved(row, loaded[row.stream_id].state)
                except UnreadableEvent as error:
                    self._unreadable[row.stream_id] = error
                else:
                    loaded[row.stream_id] = CachedState(row.version, state)
        read = {stream_id: known for stream_id, known in loaded.items() if stream_id not in self._unreadable}
        self._certain.update(read)
        self._believed.update(read)
        self._fresh.update(loaded)

    def _from_snapshots(self, stream_ids: Sequence[str]) -> dict[str, CachedState]:
        try:
            return self._snapshots.load(stream_ids)
        except Unavailable:
            raise
        except BaseException as error:  # a state's type is the app's; without snapshots streams are read from the start
            if is_interruption(error):
                raise
            _log.warning("the snapshots of %d streams are ignored: %s", len(stream_ids), shown(error))
            return {}

    def _evolved(self, row: StoredRow, state: Any) -> Any:
        """Returns a participant's state after a stored event. Raises `UnreadableEvent`, whatever `evolve` raises."""
        event = self.codec.decode(row).event
        try:
            return participant_of(self.app, row.stream_id).evolved(state, event)
        except BaseException as error:
            if is_interruption(error):
                raise
            raise UnreadableEvent(row, contained(error)) from error
