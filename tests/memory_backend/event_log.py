"""The event log in memory: a list of rows, and indexes of it."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from threading import Condition, RLock
from uuid import UUID

from sagaledger.infrastructure.event_store.append_call import Append, AppendCall, Receipt
from sagaledger.infrastructure.event_store.conflict_rules import checkpoint_moved, follows, recall
from sagaledger.infrastructure.event_store.event_log import (
    AppendRow,
    EventTopic,
    Head,
    MisplacedEvent,
    Snapshot,
    StrayRow,
)
from sagaledger.infrastructure.event_store.event_row import EventPayload, NewEvent, StoredRow
from sagaledger.infrastructure.event_store.hash_chain import GENESIS, chain
from sagaledger.infrastructure.event_store.instants import microseconds

NO_APPEND = UUID(int=0)


class MemoryEventLog:
    """Everything of the port `EventLog` but `append` and `send`, and the parts of which `append` is made."""

    def __init__(self, lock: RLock) -> None:
        self._rows: list[StoredRow] = []
        self._streams: defaultdict[str, list[StoredRow]] = defaultdict(list)
        self._links: list[AppendRow] = []
        self._links_by_id: dict[UUID, AppendRow] = {}
        self._head = Head(0, GENESIS, None)
        self._snapshots: dict[str, Snapshot] = {}
        self._checkpoints: dict[str, tuple[int, UUID]] = {}
        self._grown = Condition(lock)
        """Notified of each append, which holds the lock."""

    def head(self) -> Head:
        return self._head

    def sealed_position(self) -> int:
        return self._head.position

    def read(self, after: int, *, limit: int, upto: int | None = None, topics: Sequence[str] = ()) -> list[StoredRow]:
        rows = self._rows[after : self._head.position if upto is None else max(upto, 0)]
        return [row for row in rows if not topics or row.topic in topics][:limit]

    def stream(self, stream_id: str, *, after: int = 0, upto: int | None = None) -> list[StoredRow]:
        found = self._streams.get(stream_id, ())
        return [row for row in found if row.version > after and (upto is None or row.version <= upto)]

    def streams(self, after: Sequence[tuple[str, int]]) -> list[StoredRow]:
        return [row for stream_id, version in sorted(after) for row in self.stream(stream_id, after=version)]

    def payloads(self, parts: Sequence[Sequence[str]]) -> Iterator[list[EventPayload]]:
        for stream_ids in parts:
            rows = [row for stream_id in stream_ids for row in self._streams.get(stream_id, ())]
            yield [(row.stream_id, row.topic, row.schema_version, row.state) for row in rows]

    def correlated(self, correlation_id: str, *, after: int = 0, limit: int | None = None) -> list[StoredRow]:
        process = (row for row in self._rows[after:] if correlation_id in (row.correlation_id, row.stream_id))
        return list(process)[:limit]

    def position_at(self, instant: datetime) -> int:
        return max((link.last_position for link in self._links if link.recorded_at <= instant), default=0)

    def appends(self, after: int, *, limit: int) -> list[AppendRow]:
        return [link for link in self._links if link.last_position > after][:limit]

    def find_append(self, append_id: UUID) -> AppendRow | None:
        return self._links_by_id.get(append_id)

    def misplaced(self, *, limit: int) -> list[MisplacedEvent]:
        found: list[MisplacedEvent] = []
        for stream in self._streams.values():
            before: int | None = None
            for row in stream:
                if not follows(row.version, before):
                    found.append(MisplacedEvent(row.position, row.stream_id, row.version, before))
                before = row.version
        return sorted(found)[:limit]

    def topics(self) -> list[EventTopic]:
        counts = Counter((row.topic, row.schema_version) for row in self._rows)
        return [EventTopic(*type_, count) for type_, count in sorted(counts.items())]

    def stray_rows(self, *, limit: int) -> list[StrayRow]:
        """Return none: the list of rows is the log."""
        assert limit > 0
        return []

    def snapshots(self, stream_ids: Sequence[str]) -> list[Snapshot]:
        return [self._snapshots[stream_id] for stream_id in dict.fromkeys(stream_ids) if stream_id in self._snapshots]

    def put_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        for new in snapshots:
            stored = self._snapshots.get(new.stream_id)
            if stored is None or stored.version <= new.version or self._is_beyond(stored):
                self._snapshots[new.stream_id] = new

    def _is_beyond(self, stored: Snapshot) -> bool:
        stream = self._streams.get(stored.stream_id)
        return bool(stream) and stream[-1].version < stored.version

    def all_snapshots(self) -> Iterator[Snapshot]:
        yield from list(self._snapshots.values())

    def digests(self, ends: Sequence[tuple[str, int]]) -> dict[str, bytes]:
        return {id_: row.digest for id_, end in ends for row in self._streams.get(id_, ()) if row.version == end}

    def consumers(self) -> list[tuple[str, int]]:
        return sorted((consumer, position) for consumer, (position, _) in self._checkpoints.items())

    def consumer_position(self, consumer: str) -> int:
        return self._checkpoints.get(consumer, (0, NO_APPEND))[0]

    def wait_beyond(self, position: int, timeout_seconds: float) -> int:
        deadline = time.monotonic() + timeout_seconds
        with self._grown:
            while self._head.position <= position and (remaining := deadline - time.monotonic()) > 0:
                self._grown.wait(remaining)
            return self._head.position

    # The parts of an append, under the lock

    def _recall(self, call: AppendCall) -> Receipt | None:
        """Return the first outcome of a call that was written before."""
        link = self._links_by_id.get(call.append_id)
        if link is None:
            return None

        def end_before(stream_id: str, position: int) -> int | None:
            return max((row.version for row in self._streams[stream_id] if row.position < position), default=None)

        written = [row.as_sent() for row in self._rows[link.first_position - 1 : link.last_position]]
        outcomes = recall(call.appends, link.first_position, written, end_before)
        return Receipt(outcomes, microseconds(link.recorded_at))

    def _stream_ends(self, appends: Sequence[Append]) -> dict[str, int]:
        wanted = {new.stream_id for append in appends for new in append.events}
        return {stream_id: self._streams[stream_id][-1].version for stream_id in wanted if self._streams[stream_id]}

    def _check_checkpoints(self, call: AppendCall) -> None:
        for update in call.checkpoints:
            position, moved_by = self._checkpoints.get(update.consumer, (0, NO_APPEND))
            if position != update.expected and (position, moved_by) != (update.position, call.append_id):
                raise checkpoint_moved(update, position)

    def _write_checkpoints(self, call: AppendCall) -> None:
        for update in call.checkpoints:
            self._checkpoints[update.consumer] = (update.position, call.append_id)

    def _write_events(self, append_id: UUID, events: Sequence[NewEvent], now: datetime) -> None:
        if not events:
            return
        first, last = self._head.position + 1, self._head.position + len(events)
        for position, new in enumerate(events, first):
            row = new.stored(position, now)
            self._rows.append(row)
            self._streams[new.stream_id].append(row)
        hash_ = chain(self._head.hash, last, microseconds(now), (new.digest for new in events))
        link = AppendRow(append_id, first, last, now, hash_)
        self._links.append(link)
        self._links_by_id[append_id] = link
        self._head = Head(last, hash_, now)
