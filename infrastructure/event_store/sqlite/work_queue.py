"""The work queue in a SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from ...errors import SupersededWorker
from ..append_call import Append
from ..instants import instant, microseconds
from ..work_queue import OVERDUE_MAX, Claim, FencingToken, Overdue, QueueEntry, WorkerRow
from .clock import microseconds_now
from .database import SQL, SqliteDatabase
from .rows import fetch
from .worker_lock import WorkerLock


class SqliteWorkQueue:
    """The work queue of the file (the port `WorkQueue` says what each method promises).

    The lock decides who is the worker. The row in `workers` has its epoch, and shows it to other processes. A worker
    that gets the lock knows that every lease in the table is dead.
    """

    has_own_clock = False

    def __init__(self, file: SqliteDatabase) -> None:
        self._file = file
        self._lock = WorkerLock(file.file)

    def close(self) -> None:
        """Release the worker's lock, if this object has it."""
        self._lock.release()

    def after_fork(self) -> None:
        """Leave the worker's lock to the parent."""
        self._lock.after_fork()

    def register(self, *, host: str, pid: int, lease_seconds: float) -> FencingToken:
        self._lock.acquire()
        try:
            with self._file.writing() as connection:
                now = microseconds_now()
                _end_leases(connection, now)
                return _register(connection, host, pid, now, lease_seconds)
        except BaseException:
            self._lock.release()
            raise

    def renew(self, token: FencingToken, *, lease_seconds: float) -> None:
        with self._file.writing() as connection:
            lease_until = microseconds_now() + round(lease_seconds * 1e6)
            if connection.execute(SQL["renew"], (lease_until, *token)).rowcount == 0:
                raise SupersededWorker(*token)

    def retire(self, token: FencingToken) -> None:
        try:
            with self._file.writing() as connection:
                _release_all(connection, token.worker_id, microseconds_now())
                connection.execute(SQL["retire"], token)
        finally:
            self._lock.release()  # the next worker releases what this one could not

    def take_over(self) -> list[str]:
        """Return no worker: the lock admits one, and `register` ended the leases of the dead."""
        return []

    def has_work(self, token: FencingToken, *, definitions: Sequence[tuple[str, int]]) -> bool:
        wanted = {
            "worker_id": token.worker_id,
            "now": microseconds_now(),
            "definitions": json.dumps(list(definitions)),
        }
        with self._file.reading() as connection:
            (has_work,) = connection.execute(SQL["has_work"], wanted).fetchone()
        return bool(has_work)

    def claim(self, token: FencingToken, *, definitions: Sequence[tuple[str, int]], limit: int) -> list[Claim]:
        with self._file.writing() as connection:
            if connection.execute(SQL["holds_lease"], token).fetchone() is None:
                raise SupersededWorker(*token)
            wanted = {
                "worker_id": token.worker_id,
                "now": microseconds_now(),
                "definitions": json.dumps(list(definitions)),
                "limit": limit,
            }
            claimed = connection.execute(SQL["claim"], wanted).fetchall()
        return [Claim(*row[:3]) for row in sorted(claimed, key=lambda row: (row[3], row[0]))]

    def notified(self, token: FencingToken) -> list[str]:
        with self._file.writing() as connection:
            return [saga_id for (saga_id,) in connection.execute(SQL["notified"], (token.worker_id,)).fetchall()]

    def release(self, token: FencingToken, saga_ids: Sequence[str]) -> None:
        released = {"worker_id": token.worker_id, "saga_ids": json.dumps(list(saga_ids)), "now": microseconds_now()}
        with self._file.writing() as connection:
            connection.execute(SQL["release"], released)

    def entries(self) -> list[QueueEntry]:
        with self._file.reading() as connection:
            return [_entry(*row) for row in fetch(connection, SQL["entries"])]

    def entry(self, saga_id: str) -> QueueEntry | None:
        with self._file.reading() as connection:
            found = fetch(connection, SQL["entry"], (saga_id,))
        return _entry(*found[0]) if found else None

    def overdue(self) -> list[Overdue]:
        now = microseconds_now()
        with self._file.reading() as connection:
            found = connection.execute(SQL["overdue"], {"now": now, "limit": OVERDUE_MAX}).fetchall()
        return [Overdue(definition, sagas, (now - due_at) / 1e6) for definition, sagas, due_at in found]

    def workers(self) -> list[WorkerRow]:
        with self._file.reading() as connection:
            return [
                WorkerRow(worker_id, epoch, host, pid, instant(started_at), instant(lease_until), sagas)
                for worker_id, epoch, host, pid, started_at, lease_until, sagas in connection.execute(SQL["workers"])
            ]


def _entry(saga_id: str, definition: str, version: int, due_at: int, worker_id: str | None) -> QueueEntry:
    return QueueEntry(saga_id, definition, version, instant(due_at), worker_id)


def write_entries(connection: sqlite3.Connection, accepted: Sequence[Append], now: int) -> None:
    """Write what the accepted appends of a call say about the work queue, in the call's own transaction."""
    _put_entries(connection, [append.queue_entry for append in accepted if append.queue_entry is not None], now)
    for entry in (entry for append in accepted for entry in append.notify):
        connection.execute(SQL["notify"], {**entry._asdict(), "now": now})


def _put_entries(connection: sqlite3.Connection, entries: Sequence[QueueEntry], now: int) -> None:
    """Insert or replace entries; delete those without a due time. Of two entries of one saga the later one counts."""
    done = [entry.saga_id for entry in entries if entry.due_at is None]
    if done and connection.executemany(SQL["remove_entry"], ((saga_id,) for saga_id in done)).rowcount < len(done):
        connection.executemany(SQL["keep_notified_entry"], ((now, saga_id) for saga_id in done))
    latest = {entry.saga_id: entry for entry in entries}.values()
    rows = [(*entry[:3], microseconds(entry.due_at), entry.worker_id, now) for entry in latest if entry.due_at]
    if rows:
        connection.executemany(SQL["put_entry"], rows)


def _register(connection: sqlite3.Connection, host: str, pid: int, now: int, lease_seconds: float) -> FencingToken:
    lease_until = now + round(lease_seconds * 1e6)
    (epoch,) = connection.execute(SQL["register"], (host, pid, now, lease_until)).fetchone()
    worker_id = f"{host}-{pid}-{epoch}"
    connection.execute(SQL["name_worker"], (worker_id, epoch))
    return FencingToken(worker_id, epoch)


def _end_leases(connection: sqlite3.Connection, now: int) -> None:
    for (worker_id,) in connection.execute(SQL["end_leases"]).fetchall():
        _release_all(connection, worker_id, now)


def _release_all(connection: sqlite3.Connection, worker_id: str, now: int) -> None:
    connection.execute(SQL["release_all"], {"worker_id": worker_id, "now": now})
