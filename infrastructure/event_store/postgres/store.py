"""The ledger in PostgreSQL: many workers on many machines, one round trip for each append call."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from threading import Condition, Lock
from typing import TYPE_CHECKING, Final
from uuid import UUID

from ...errors import DamagedLedger
from ..append_call import AppendCall, Receipt, check_size
from ..conflict_rules import recall
from ..definition_registry import Structures
from ..event_log import HEAD_MISSING, AppendRow, EventTopic, Head, MisplacedEvent, Snapshot, StrayRow
from ..event_row import EventPayload, StoredRow
from ..forking import on_fork
from ..schema_objects import differences, schema_objects
from .append import WRITTEN_BEFORE, AppendReply, receipt
from .database import SQL, STRUCTURES_SINCE, FetchedRow, PostgresDatabase
from .pending_append import PostgresPendingAppend
from .pool import Pool
from .start_requests import PostgresStartRequests
from .work_queue import PostgresWorkQueue

if TYPE_CHECKING:
    from .view_store import PostgresViewStore


_NO_UPPER_BOUND: Final = 2**63 - 1
_LEARN_SECONDS: Final = 10.0
"""How long to try to learn the outcome of an append whose reply was lost."""
_SNAPSHOTS_PER_READ: Final = 100
_CONNECTIONS: Final = 8
_SENDERS: Final = 2
"""One for the worker, whose append is under way while it builds the next one, and one for all other threads."""
_POLL_SECONDS_MIN: Final = 0.01
_POLL_SECONDS_MAX: Final = 0.25


class PostgresStore(PostgresWorkQueue):
    """A ledger in a PostgreSQL schema (the port `Backend` says what each method promises).

    It reads with up to `connections` connections and appends with up to two; further threads wait.
    """

    writes_meanwhile = True

    def __init__(
        self, url: str, *, create: bool = False, learn_seconds: float = _LEARN_SECONDS, connections: int = _CONNECTIONS
    ) -> None:
        super().__init__(PostgresDatabase(url, create=create, connections=connections))
        self.url = url
        self.name = self._database.name
        self.start_requests = PostgresStartRequests(self._database)
        self._learn_seconds = learn_seconds
        self._senders = Pool(self._database.connect, connections_max=min(_SENDERS, connections))
        self._views: PostgresViewStore | None = None
        self._make_locks()
        on_fork(self)

    def after_fork(self) -> None:
        """Replace the locks, which threads of the parent may have held."""
        self._make_locks()

    def _make_locks(self) -> None:
        self._appending = Lock()
        self._grown = Condition()
        self._opening_views = Lock()

    def close(self) -> None:
        if self._views is not None:
            self._views.close()
        self._senders.close()
        self._database.close()

    @property
    def views(self) -> PostgresViewStore:
        with self._opening_views:
            if self._views is None:
                from .view_store import PostgresViewStore  # noqa: PLC0415  # importing SQLAlchemy takes a while

                self._views = PostgresViewStore(self._database.connect, self._database.name)
            return self._views

    def append(self, call: AppendCall) -> Receipt:
        with self._appending:  # the database appends one call at a time, so one connection is enough for all threads
            return self.send(call).receipt()

    def send(self, call: AppendCall) -> PostgresPendingAppend:
        check_size(call)
        return PostgresPendingAppend(
            self._database, self._senders, call, partial(self._receipt, call), self._learn_seconds
        )

    def _receipt(self, call: AppendCall, reply: AppendReply) -> Receipt:
        if reply[0] == WRITTEN_BEFORE:
            return self._recall(call, *reply[1:])
        appended = receipt(call, reply)
        with self._grown:
            self._grown.notify_all()
        return appended

    def _recall(self, call: AppendCall, first_position: int, last_position: int, recorded_us: int) -> Receipt:
        bounds = {"after": first_position - 1, "upto": last_position, "limit": None}
        rows = _rows(self._database.fetch("read", bounds))

        def end_before(stream_id: str, position: int) -> int | None:
            ((end,),) = self._database.fetch("end_before", (stream_id, position))
            return None if end is None else int(end)

        outcomes = recall(call.appends, first_position, [row.as_sent() for row in rows], end_before)
        return Receipt(outcomes, recorded_us)

    def head(self) -> Head:
        found = self._database.fetch("head")
        if not found:
            raise DamagedLedger(HEAD_MISSING)
        return Head(*found[0])

    def sealed_position(self) -> int:
        return self.head().position

    def read(self, after: int, *, limit: int, upto: int | None = None, topics: Sequence[str] = ()) -> list[StoredRow]:
        bounds = {"after": after, "upto": _NO_UPPER_BOUND if upto is None else upto, "limit": limit}
        if topics:
            return _rows(self._database.fetch("read_topics", bounds | {"topics": list(topics)}))
        return _rows(self._database.fetch("read", bounds))

    def stream(self, stream_id: str, *, after: int = 0, upto: int | None = None) -> list[StoredRow]:
        bounds = {"stream_id": stream_id, "after": after, "upto": _NO_UPPER_BOUND if upto is None else upto}
        return _rows(self._database.fetch("stream", bounds))

    def streams(self, after: Sequence[tuple[str, int]]) -> list[StoredRow]:
        wanted = {"stream_ids": [stream_id for stream_id, _ in after], "after": [version for _, version in after]}
        return _rows(self._database.fetch("streams", wanted))

    def payloads(self, parts: Sequence[Sequence[str]]) -> Iterator[list[EventPayload]]:
        return self._database.fetch_ahead("payloads", parts)

    def correlated(self, correlation_id: str, *, after: int = 0, limit: int | None = None) -> list[StoredRow]:
        wanted = {"correlation_id": correlation_id, "after": after, "limit": limit}
        return _rows(self._database.fetch("correlated", wanted))

    def position_at(self, instant: datetime) -> int:
        found = self._database.fetch("position_at", (instant,))
        return found[0][0] if found else 0

    def appends(self, after: int, *, limit: int) -> list[AppendRow]:
        return [AppendRow(*row) for row in self._database.fetch("appends", (after, limit))]

    def find_append(self, append_id: UUID) -> AppendRow | None:
        found = self._database.fetch("find_append", (append_id,))
        return AppendRow(append_id, *found[0]) if found else None

    def misplaced(self, *, limit: int) -> list[MisplacedEvent]:
        return [MisplacedEvent(*row) for row in self._database.fetch("misplaced", (limit,))]

    def schema_problems(self) -> list[str]:
        versions = [version for (version,) in self._database.fetch("schema_versions")]
        return differences("postgres", versions, schema_objects(self._database.fetch("schema_objects")))

    def topics(self) -> list[EventTopic]:
        return [EventTopic(*row) for row in self._database.fetch("topics")]

    def stray_rows(self, *, limit: int) -> list[StrayRow]:
        return [StrayRow(*row) for row in self._database.fetch("stray_rows", (limit,))]

    def snapshots(self, stream_ids: Sequence[str]) -> list[Snapshot]:
        return [Snapshot(*row) for row in self._database.fetch("snapshots", (list(stream_ids),))]

    def put_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        columns = [list(column) for column in zip(*snapshots, strict=True)]
        if columns:
            with self._database.transaction() as connection:
                connection.execute(SQL["put_snapshots"], columns)

    def all_snapshots(self) -> Iterator[Snapshot]:
        stream_id = ""
        while found := self._database.fetch("all_snapshots", (stream_id, _SNAPSHOTS_PER_READ)):
            yield from (Snapshot(*row) for row in found)
            stream_id = found[-1][0]

    def digests(self, ends: Sequence[tuple[str, int]]) -> dict[str, bytes]:
        columns = ([stream_id for stream_id, _ in ends], [version for _, version in ends])
        return dict(self._database.fetch("digests", columns))

    def fingerprints(self) -> dict[tuple[str, int], str]:
        return {(name, version): fingerprint for name, version, fingerprint in self._database.fetch("fingerprints")}

    def record_fingerprint(self, name: str, version: int, fingerprint: str) -> str:
        with self._database.transaction() as connection:
            connection.execute(SQL["record_fingerprint"], (name, version, fingerprint))
        return self.fingerprints()[name, version]

    def structures(self) -> Structures:
        found: dict[tuple[str, int], dict[str, str]] = {}
        if self._database.schema_version >= STRUCTURES_SINCE:
            for name, version, fingerprint, structure in self._database.fetch("structures"):
                found.setdefault((name, version), {})[fingerprint] = structure
        return found

    def record_structure(self, name: str, version: int, fingerprint: str, structure: str) -> None:
        if self._database.schema_version >= STRUCTURES_SINCE:
            with self._database.transaction() as connection:
                connection.execute(SQL["record_structure"], (name, version, fingerprint, structure))

    def consumers(self) -> list[tuple[str, int]]:
        return [(consumer, position) for consumer, position in self._database.fetch("consumers")]

    def consumer_position(self, consumer: str) -> int:
        found = self._database.fetch("checkpoint", (consumer,))
        return found[0][0] if found else 0

    def wait_beyond(self, position: int, timeout_seconds: float) -> int:
        deadline = time.monotonic() + timeout_seconds
        pause = _POLL_SECONDS_MIN
        while True:
            head = self.head().position
            remaining = deadline - time.monotonic()
            if head > position or remaining <= 0:
                return head
            with self._grown:
                self._grown.wait(min(pause, remaining))
            pause = min(pause * 1.5, _POLL_SECONDS_MAX)


def _rows(found: Iterable[FetchedRow]) -> list[StoredRow]:
    return [StoredRow._make(row) for row in found]
