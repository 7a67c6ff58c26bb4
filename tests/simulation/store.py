"""A ledger in memory, with the exact rules of the real ones: a double that passes the log's own contract tests.

What becomes of an append is decided by the very module that decides it on SQLite; time is whatever the clock says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sagaledger.infrastructure.event_store.conflict_rules import as_sent, decide, moved, recall
from sagaledger.infrastructure.event_store.hash_chain import GENESIS, chain
from sagaledger.infrastructure.event_store.instants import microseconds
from sagaledger.infrastructure.event_store.port import (
    Append,
    AppendCall,
    Appended,
    AppendOutcome,
    AppendRow,
    Conflict,
    EventPayload,
    Head,
    MisplacedEvent,
    NewEvent,
    Receipt,
    Snapshot,
    StoredRow,
    check_size,
)
from sagaledger.infrastructure.event_store.sqlite.store import CompletedAppend

from .due_work import SimulatedQueue

NOBODY = UUID(int=0)


class Error(NamedTuple):
    """Who believed which stream to end at which version."""

    worker_id: str
    stream_id: str
    expected_version: int


class SimulatedLog(SimulatedQueue):
    """A ledger in memory (see `port.Backend` for what each method promises)."""

    url = "sqlite:///simulated"
    """Nothing is there: views are not simulated."""
    requests = None

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self._rows: list[StoredRow] = []
        self._streams: defaultdict[str, list[StoredRow]] = defaultdict(list)
        self._appends: list[AppendRow] = []
        self._known: dict[UUID, AppendRow] = {}
        self._head = Head(0, GENESIS, None)
        self._snapshots: dict[str, Snapshot] = {}
        self._consumers: dict[str, tuple[int, UUID]] = {}
        self._fingerprints: dict[tuple[str, int], str] = {}
        self.errors: defaultdict[Error, set[UUID]] = defaultdict(set)
        """The appends in which a worker believed that a stream ended where it did not end any more."""

    def close(self) -> None:
        """There is nothing to release."""

    def append(self, call: AppendCall) -> Receipt:
        check_size(call)
        known = self._known.get(call.append_id)
        if known is not None:
            return self._recall(call, known)
        if call.epoch is not None:
            self.check_lease(call.epoch)
        self._check_advances(call)
        now = max(self._clock(), self._head.recorded_at or self._clock())
        outcomes = decide(call.appends, self._ends(call.appends), self._head.position)
        self._note_errors(call, outcomes)
        accepted = [a for a, outcome in zip(call.appends, outcomes, strict=True) if isinstance(outcome, Appended)]
        if accepted or not call.appends:
            written = [new for append in accepted for new in append.events]
            if written:
                self._write(call.append_id, written, now)
            self.apply_due(accepted, now)
            for advance in call.advances:
                self._consumers[advance.consumer] = (advance.position, call.append_id)
        return Receipt(outcomes, microseconds(now))

    def send(self, call: AppendCall) -> CompletedAppend:
        return CompletedAppend(self.append(call))

    def head(self) -> Head:
        return self._head

    def sealed_position(self) -> int:
        return self._head.position

    def read(self, after: int, *, limit: int, upto: int | None = None, topics: Sequence[str] = ()) -> list[StoredRow]:
        rows = self._rows[after : len(self._rows) if upto is None else max(upto, 0)]
        return [row for row in rows if not topics or row.topic in topics][:limit]

    def stream(self, stream_id: str, *, after: int = 0, upto: int | None = None) -> list[StoredRow]:
        found = self._streams.get(stream_id, ())
        return [row for row in found if row.version > after and (upto is None or row.version <= upto)]

    def streams(self, after: Sequence[tuple[str, int]]) -> list[StoredRow]:
        return [row for stream_id, version in sorted(after) for row in self.stream(stream_id, after=version)]

    def payloads(self, parts: Sequence[Sequence[str]]) -> Iterator[list[EventPayload]]:
        for stream_ids in parts:
            rows = self.streams([(stream_id, 0) for stream_id in stream_ids])
            yield [(row.stream_id, row.topic, row.schema_version, row.state) for row in rows]

    def correlated(self, correlation_id: str, *, after: int = 0, limit: int | None = None) -> list[StoredRow]:
        mine = (r for r in self._rows[after:] if correlation_id in (r.correlation_id, r.stream_id))
        return list(mine)[:limit]

    def position_at(self, instant: datetime) -> int:
        return max((link.last_position for link in self._appends if link.recorded_at <= instant), default=0)

    def appends(self, after: int, *, limit: int) -> list[AppendRow]:
        return [link for link in self._appends if link.last_position > after][:limit]

    def misplaced(self, *, limit: int) -> list[MisplacedEvent]:
        found: list[MisplacedEvent] = []
        for stream in self._streams.values():
            before: int | None = None
            for row in stream:
                if row.version != before + 1 if before is not None else row.version not in (0, 1):
                    found.append(MisplacedEvent(row.position, row.stream_id, row.version, before))
                before = row.version
        return sorted(found)[:limit]

    def snapshots(self, stream_ids: Sequence[str]) -> list[Snapshot]:
        return [self._snapshots[stream_id] for stream_id in dict.fromkeys(stream_ids) if stream_id in self._snapshots]

    def put_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        for taken in snapshots:
            kept = self._snapshots.get(taken.stream_id)
            if kept is None or kept.version <= taken.version:
                self._snapshots[taken.stream_id] = taken

    def fingerprints(self) -> dict[tuple[str, int], str]:
        return dict(self._fingerprints)

    def record_fingerprint(self, name: str, version: int, fingerprint: str) -> str:
        return self._fingerprints.setdefault((name, version), fingerprint)

    def consumer_position(self, consumer: str) -> int:
        return self._consumers.get(consumer, (0, NOBODY))[0]

    def wait_beyond(self, position: int, timeout_seconds: float) -> int:  # noqa: ARG002 -- nobody else runs meanwhile
        return self._head.position

    def _note_errors(self, call: AppendCall, outcomes: Sequence[AppendOutcome]) -> None:
        for outcome in outcomes:
            if call.epoch and isinstance(outcome, Conflict) and outcome.actual_version > outcome.expected_version:
                error = Error(call.epoch.worker_id, outcome.stream_id, outcome.expected_version)
                self.errors[error].add(call.append_id)

    def _ends(self, appends: Sequence[Append]) -> dict[str, int]:
        wanted = {new.stream_id for append in appends for new in append.events}
        return {stream_id: self._streams[stream_id][-1].version for stream_id in wanted if self._streams[stream_id]}

    def _write(self, append_id: UUID, written: Sequence[NewEvent], now: datetime) -> None:
        first, last = self._head.position + 1, self._head.position + len(written)
        for position, new in enumerate(written, first):
            row = new.stored(position, now)
            self._rows.append(row)
            self._streams[new.stream_id].append(row)
        hash_ = chain(self._head.hash, last, microseconds(now), (new.digest for new in written))
        self._known[append_id] = AppendRow(append_id, first, last, now, hash_)
        self._appends.append(self._known[append_id])
        self._head = Head(last, hash_, now)

    def _check_advances(self, call: AppendCall) -> None:
        for advance in call.advances:
            position, moved_by = self._consumers.get(advance.consumer, (0, NOBODY))
            if position != advance.expected and (position, moved_by) != (advance.position, call.append_id):
                raise moved(advance, position)

    def _recall(self, call: AppendCall, known: AppendRow) -> Receipt:
        rows = self._rows[known.first_position - 1 : known.last_position]

        def end_before(stream_id: str, position: int) -> int | None:
            return max((r.version for r in self._streams[stream_id] if r.position < position), default=None)

        sent = [as_sent(row) for row in rows]
        return Receipt(recall(call.appends, known.first_position, sent, end_before), microseconds(known.recorded_at))
