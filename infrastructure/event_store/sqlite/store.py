"""The log in one SQLite file: nothing to install, any process may append, exactly one works the sagas."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from threading import Condition
from typing import Any, Final, NamedTuple
from uuid import UUID

from msgspec.structs import astuple

from ...errors import SupersededWorker
from ..conflict_rules import as_sent, decide, moved, recall
from ..hash_chain import chain
from ..instants import instant, microseconds
from ..port import (
    Append,
    AppendCall,
    Appended,
    AppendOutcome,
    AppendRow,
    EventPayload,
    Head,
    MisplacedEvent,
    NewEvent,
    Receipt,
    Snapshot,
    StoredRow,
    check_size,
)
from .database import BUSY_SECONDS, SQL, SqliteDatabase, microseconds_now
from .work_queue import SqliteWorkQueue, apply_due

_LOOK_SECONDS: Final = 0.05
"""How often `wait_beyond` asks whether another process wrote to the file."""
_EVERYTHING: Final = 2**63 - 1


class CompletedAppend(NamedTuple):
    """An append call that is over already (a `port.PendingAppend`)."""

    appended: Receipt

    @property
    def pending(self) -> None:
        """Nobody waits for it."""

    def receipt(self) -> Receipt:
        """What became of it."""
        return self.appended

    def abandon(self) -> None:
        """There is nothing to let go of."""


class SqliteStore(SqliteWorkQueue):
    """A ledger in a SQLite file (see `port.Backend` for what each method promises)."""

    requests = None
    """One program writes to the file at a time: a transaction of somebody else's cannot be this ledger's."""
    writes_meanwhile = False

    def __init__(self, path: Path, *, url: str, create: bool = False, busy_seconds: float = BUSY_SECONDS) -> None:
        super().__init__(SqliteDatabase(path, url=url, create=create, busy_seconds=busy_seconds))
        self.url = url
        self._grown = Condition()

    def close(self) -> None:
        super().close()
        self._file.close()

    def append(self, call: AppendCall) -> Receipt:
        check_size(call)
        with self._file.writing(call.append_id) as connection:
            known = connection.execute(SQL["known_append"], (call.append_id.bytes,)).fetchone()
            receipt = _recall(connection, call, *known) if known else _append(connection, call)
        with self._grown:
            self._grown.notify_all()
        return receipt

    def send(self, call: AppendCall) -> CompletedAppend:
        return CompletedAppend(self.append(call))

    def _fetch(self, name: str, wanted: Mapping[str, Any]) -> list[StoredRow]:
        with self._file.reading() as connection:
            try:
                return _rows(connection.execute(SQL[name], wanted))
            except sqlite3.OperationalError as error:
                if "decode" not in str(error):
                    raise
                # Somebody put bytes into a text that are not UTF-8. Read them all the same: `verify` names the place.
                connection.text_factory = _tolerant
                try:
                    return _rows(connection.execute(SQL[name], wanted))
                finally:
                    connection.text_factory = str

    def head(self) -> Head:
        with self._file.reading() as connection:
            position, hash_, recorded_at = connection.execute(SQL["head"]).fetchone()
        return Head(position, hash_, None if recorded_at is None else instant(recorded_at))

    def sealed_position(self) -> int:
        return self.head().position

    def read(self, after: int, *, limit: int, upto: int | None = None, topics: Sequence[str] = ()) -> list[StoredRow]:
        bounds: dict[str, Any] = {"after": after, "upto": _EVERYTHING if upto is None else upto, "limit": limit}
        if topics:
            bounds["topics"] = json.dumps(list(topics))
        return self._fetch("read_topics" if topics else "read", bounds)

    def stream(self, stream_id: str, *, after: int = 0, upto: int | None = None) -> list[StoredRow]:
        bounds = {"stream_id": stream_id, "after": after, "upto": _EVERYTHING if upto is None else upto}
        return self._fetch("stream", bounds)

    def streams(self, after: Sequence[tuple[str, int]]) -> list[StoredRow]:
        return self._fetch("streams", {"after": json.dumps(after)})

    def payloads(self, parts: Sequence[Sequence[str]]) -> Iterator[list[EventPayload]]:
        for stream_ids in parts:
            with self._file.reading() as connection:
                payloads = connection.execute(SQL["payloads"], (json.dumps(list(stream_ids)),)).fetchall()
            yield payloads

    def correlated(self, correlation_id: str, *, after: int = 0, limit: int | None = None) -> list[StoredRow]:
        wanted = {"correlation_id": correlation_id, "after": after, "limit": -1 if limit is None else limit}
        return self._fetch("correlated", wanted)

    def position_at(self, instant: datetime) -> int:
        with self._file.reading() as connection:
            found = connection.execute(SQL["position_at"], (microseconds(instant),)).fetchone()
        return found[0] if found else 0

    def appends(self, after: int, *, limit: int) -> list[AppendRow]:
        with self._file.reading() as connection:
            return [
                AppendRow(UUID(bytes=append_id), first, last, instant(recorded_at), hash_)
                for append_id, first, last, recorded_at, hash_ in connection.execute(SQL["appends"], (after, limit))
            ]

    def misplaced(self, *, limit: int) -> list[MisplacedEvent]:
        with self._file.reading() as connection:
            return [MisplacedEvent(*row) for row in connection.execute(SQL["misplaced"], (limit,))]

    def snapshots(self, stream_ids: Sequence[str]) -> list[Snapshot]:
        with self._file.reading() as connection:
            return [Snapshot(*row) for row in connection.execute(SQL["snapshots"], (json.dumps(list(stream_ids)),))]

    def put_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        with self._file.writing() as connection:
            connection.executemany(SQL["put_snapshot"], snapshots)

    def fingerprints(self) -> dict[tuple[str, int], str]:
        with self._file.reading() as connection:
            found = connection.execute(SQL["fingerprints"])
            return {(name, version): fingerprint for name, version, fingerprint in found}

    def record_fingerprint(self, name: str, version: int, fingerprint: str) -> str:
        recorded = self.fingerprints().get((name, version))
        if recorded is None:  # else keep off the write lock
            with self._file.writing() as connection:
                connection.execute(SQL["record_fingerprint"], (name, version, fingerprint))
            recorded = self.fingerprints()[name, version]
        return recorded

    def consumer_position(self, consumer: str) -> int:
        with self._file.reading() as connection:
            found = connection.execute(SQL["consumer"], (consumer,)).fetchone()
        return found[0] if found else 0

    def wait_beyond(self, position: int, timeout_seconds: float) -> int:
        deadline = time.monotonic() + timeout_seconds
        with self._file.reading() as connection:
            seen = None
            while True:
                # Read before the head: what is written between the two is noticed the next time.
                (version,) = connection.execute("PRAGMA data_version").fetchone()
                if version != seen:
                    seen = version
                    head: int = connection.execute(SQL["head"]).fetchone()[0]
                remaining = deadline - time.monotonic()
                if head > position or remaining <= 0:
                    return head
                with self._grown:
                    self._grown.wait(min(_LOOK_SECONDS, remaining))


def _append(connection: sqlite3.Connection, call: AppendCall) -> Receipt:
    if call.epoch and connection.execute(SQL["holds_lease"], call.epoch).fetchone() is None:
        raise SupersededWorker(*call.epoch)
    _check_advances(connection, call)
    position, hash_, recorded_before = connection.execute(SQL["head"]).fetchone()
    now = max(microseconds_now(), recorded_before or 0)
    outcomes = decide(call.appends, _ends(connection, call.appends), position)
    accepted = [append for append, outcome in zip(call.appends, outcomes, strict=True) if isinstance(outcome, Appended)]
    if accepted or not call.appends:
        written = [new for append in accepted for new in append.events]
        if written:
            _insert(connection, call.append_id, written, position, hash_, now)
        apply_due(connection, accepted, now)
        for advance in call.advances:
            connection.execute(SQL["move_consumer"], (advance.consumer, advance.position, call.append_id.bytes))
    return Receipt(outcomes, now)


def _ends(connection: sqlite3.Connection, appends: Sequence[Append]) -> dict[str, int]:
    wanted = list({new.stream_id: None for append in appends for new in append.events})
    ends = connection.execute(SQL["ends"], (json.dumps(wanted),))
    return {stream_id: version for stream_id, version in ends if version is not None}


def _insert(
    connection: sqlite3.Connection,
    append_id: UUID,
    written: Sequence[NewEvent],
    head_position: int,
    head_hash: bytes,
    now: int,
) -> None:
    last = head_position + len(written)
    connection.executemany(
        SQL["insert_event"],
        ((position, *astuple(new)[:-1], now, new.digest) for position, new in enumerate(written, head_position + 1)),
    )
    hash_ = chain(head_hash, last, now, (new.digest for new in written))
    connection.execute(SQL["insert_append"], (append_id.bytes, head_position + 1, last, now, hash_))
    connection.execute(SQL["move_head"], (last, hash_, now))


def _check_advances(connection: sqlite3.Connection, call: AppendCall) -> None:
    for advance in call.advances:
        position, moved_by = connection.execute(SQL["consumer"], (advance.consumer,)).fetchone() or (0, b"")
        if position != advance.expected and (position, moved_by) != (advance.position, call.append_id.bytes):
            raise moved(advance, position)


def _recall(connection: sqlite3.Connection, call: AppendCall, first: int, last: int, recorded_us: int) -> Receipt:
    rows = _rows(connection.execute(SQL["read"], {"after": first - 1, "upto": last, "limit": -1}))

    def end_before(stream_id: str, position: int) -> int | None:
        end: int | None = connection.execute(SQL["end_before"], (stream_id, position)).fetchone()[0]
        return end

    outcomes: list[AppendOutcome] = recall(call.appends, first, [as_sent(row) for row in rows], end_before)
    return Receipt(outcomes, recorded_us)


def _tolerant(text: bytes) -> str:
    return text.decode(errors="surrogateescape")


def _rows(found: Iterable[Any]) -> list[StoredRow]:
    return [StoredRow._make((*row[:9], instant(row[9]), row[10])) for row in found]
