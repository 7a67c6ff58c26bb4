"""The ledger in one SQLite file: nothing to install, any process may append, exactly one works the sagas."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from threading import Condition, Lock
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from ...errors import DamagedLedger
from ..append_call import AppendCall, CompletedAppend, Receipt, check_size
from ..definition_registry import Structures
from ..event_log import AppendRow, EventTopic, Head, MisplacedEvent, Snapshot, StrayRow
from ..event_row import EventPayload, StoredRow
from ..forking import on_fork
from ..instants import instant, microseconds
from ..schema_objects import differences, schema_objects
from .append import append_or_recall
from .database import BUSY_SECONDS, SQL, STRUCTURES_SINCE, SqliteDatabase
from .ledger_file import LedgerFile
from .rows import fetch, read_head, read_rows
from .work_queue import SqliteWorkQueue

if TYPE_CHECKING:
    from .view_store import SqliteViewStore

_POLL_SECONDS: Final = 0.05
"""How often `wait_beyond` asks whether another process has written to the file."""
_NO_UPPER_BOUND: Final = 2**63 - 1
_SNAPSHOTS_PER_READ: Final = 100
_UUID_BYTES: Final = 16


class SqliteStore(SqliteWorkQueue):
    """A ledger in a SQLite file (the port `Backend` says what each method promises)."""

    start_requests = None
    """One program writes to the file at a time, so no other program's transaction can hold rows of this ledger."""
    writes_meanwhile = False

    def __init__(
        self,
        path: Path,
        *,
        url: str,
        create: bool = False,
        must_exist: bool = False,
        read_only: bool = False,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        file = LedgerFile(path, read_only=read_only)
        super().__init__(SqliteDatabase(file, url=url, create=create, must_exist=must_exist, busy_seconds=busy_seconds))
        self.url = file.url
        self.name = url
        self._views: SqliteViewStore | None = None
        self._make_locks()
        on_fork(self)

    def after_fork(self) -> None:
        """Replace the locks, which threads of the parent may have held."""
        super().after_fork()
        self._make_locks()

    def _make_locks(self) -> None:
        self._grown = Condition()
        self._opening_views = Lock()

    def close(self) -> None:
        super().close()
        if self._views is not None:
            self._views.close()
        self._file.close()

    @property
    def views(self) -> SqliteViewStore:
        with self._opening_views:
            if self._views is None:
                from .view_store import SqliteViewStore  # noqa: PLC0415  # importing SQLAlchemy takes a while

                self._views = SqliteViewStore.of_file(self._file.file)
            return self._views

    def append(self, call: AppendCall) -> Receipt:
        check_size(call)
        with self._file.writing(call.append_id) as connection:
            receipt = append_or_recall(connection, call)
        with self._grown:
            self._grown.notify_all()
        return receipt

    def send(self, call: AppendCall) -> CompletedAppend:
        return CompletedAppend(self.append(call))

    def head(self) -> Head:
        with self._file.reading() as connection:
            position, hash_, recorded_at = read_head(connection)
        return Head(position, hash_, None if recorded_at is None else instant(recorded_at))

    def sealed_position(self) -> int:
        return self.head().position

    def read(self, after: int, *, limit: int, upto: int | None = None, topics: Sequence[str] = ()) -> list[StoredRow]:
        bounds: dict[str, Any] = {"after": after, "upto": _NO_UPPER_BOUND if upto is None else upto, "limit": limit}
        if topics:
            bounds["topics"] = json.dumps(list(topics))
        return self._read("read_topics" if topics else "read", bounds)

    def stream(self, stream_id: str, *, after: int = 0, upto: int | None = None) -> list[StoredRow]:
        bounds = {"stream_id": stream_id, "after": after, "upto": _NO_UPPER_BOUND if upto is None else upto}
        return self._read("stream", bounds)

    def streams(self, after: Sequence[tuple[str, int]]) -> list[StoredRow]:
        return self._read("streams", {"after": json.dumps(after)})

    def payloads(self, parts: Sequence[Sequence[str]]) -> Iterator[list[EventPayload]]:
        for stream_ids in parts:
            with self._file.reading() as connection:
                payloads = connection.execute(SQL["payloads"], (json.dumps(list(stream_ids)),)).fetchall()
            yield payloads

    def correlated(self, correlation_id: str, *, after: int = 0, limit: int | None = None) -> list[StoredRow]:
        wanted = {"correlation_id": correlation_id, "after": after, "limit": -1 if limit is None else limit}
        return self._read("correlated", wanted)

    def position_at(self, instant: datetime) -> int:
        with self._file.reading() as connection:
            found = connection.execute(SQL["position_at"], (microseconds(instant),)).fetchone()
        return found[0] if found else 0

    def appends(self, after: int, *, limit: int) -> list[AppendRow]:
        with self._file.reading() as connection:
            return [
                AppendRow(_append_id(append_id), first, last, instant(recorded_at), hash_)
                for append_id, first, last, recorded_at, hash_ in connection.execute(SQL["appends"], (after, limit))
            ]

    def find_append(self, append_id: UUID) -> AppendRow | None:
        with self._file.reading() as connection:
            found = connection.execute(SQL["find_append"], (append_id.bytes,)).fetchone()
        return None if found is None else AppendRow(append_id, found[0], found[1], instant(found[2]), found[3])

    def misplaced(self, *, limit: int) -> list[MisplacedEvent]:
        with self._file.reading() as connection:
            return [MisplacedEvent(*row) for row in fetch(connection, SQL["misplaced"], (limit,))]

    def schema_problems(self) -> list[str]:
        with self._file.reading() as connection:
            versions = [version for (version,) in connection.execute(SQL["schema_versions"])]
            found = connection.execute(SQL["schema_objects"]).fetchall()
        return differences("sqlite", versions, schema_objects(found))

    def topics(self) -> list[EventTopic]:
        with self._file.reading() as connection:
            return [EventTopic(*row) for row in fetch(connection, SQL["topics"])]

    def stray_rows(self, *, limit: int) -> list[StrayRow]:
        with self._file.reading() as connection:
            return [StrayRow(*row) for row in connection.execute(SQL["stray_rows"], (limit,))]

    def snapshots(self, stream_ids: Sequence[str]) -> list[Snapshot]:
        with self._file.reading() as connection:
            found = fetch(connection, SQL["snapshots"], (json.dumps(list(stream_ids)),))
        return [Snapshot(*row) for row in found]

    def put_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        with self._file.writing() as connection:
            connection.executemany(SQL["put_snapshot"], snapshots)

    def all_snapshots(self) -> Iterator[Snapshot]:
        rowid = -1
        while True:
            with self._file.reading() as connection:
                found = fetch(connection, SQL["all_snapshots"], (rowid, _SNAPSHOTS_PER_READ))
            if not found:
                return
            yield from (Snapshot(*row[1:]) for row in found)
            rowid = found[-1][0]

    def digests(self, ends: Sequence[tuple[str, int]]) -> dict[str, bytes]:
        with self._file.reading() as connection:
            return dict(connection.execute(SQL["digests"], (json.dumps(ends),)).fetchall())

    def fingerprints(self) -> dict[tuple[str, int], str]:
        with self._file.reading() as connection:
            found = fetch(connection, SQL["fingerprints"])
        return {(name, version): fingerprint for name, version, fingerprint in found}

    def record_fingerprint(self, name: str, version: int, fingerprint: str) -> str:
        recorded = self.fingerprints().get((name, version))
        if recorded is None:  # otherwise it does not have to wait for the write lock
            with self._file.writing() as connection:
                connection.execute(SQL["record_fingerprint"], (name, version, fingerprint))
            recorded = self.fingerprints()[name, version]
        return recorded

    def structures(self) -> Structures:
        found: dict[tuple[str, int], dict[str, str]] = {}
        if self._file.schema_version >= STRUCTURES_SINCE:
            with self._file.reading() as connection:
                rows = fetch(connection, SQL["structures"])
            for name, version, fingerprint, structure in rows:
                found.setdefault((name, version), {})[fingerprint] = structure
        return found

    def record_structure(self, name: str, version: int, fingerprint: str, structure: str) -> None:
        if self._file.schema_version >= STRUCTURES_SINCE:
            with self._file.writing() as connection:
                connection.execute(SQL["record_structure"], (name, version, fingerprint, structure))

    def consumers(self) -> list[tuple[str, int]]:
        with self._file.reading() as connection:
            return fetch(connection, SQL["consumers"])

    def consumer_position(self, consumer: str) -> int:
        with self._file.reading() as connection:
            found = connection.execute(SQL["checkpoint"], (consumer,)).fetchone()
        return found[0] if found else 0

    def wait_beyond(self, position: int, timeout_seconds: float) -> int:
        """Block as the port says. A write by another process shows within 100 ms."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            head = self.head().position
            remaining = deadline - time.monotonic()
            if head > position or remaining <= 0:
                return head
            with self._grown:
                self._grown.wait(min(_POLL_SECONDS, remaining))

    def _read(self, name: str, wanted: Mapping[str, Any]) -> list[StoredRow]:
        with self._file.reading() as connection:
            return read_rows(connection, SQL[name], wanted)


def _append_id(stored: bytes) -> UUID:
    if len(stored) != _UUID_BYTES:
        raise DamagedLedger(f"an append has an id of {len(stored)} bytes instead of {_UUID_BYTES}")
    return UUID(bytes=stored)
