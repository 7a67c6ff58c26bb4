"""The due work in a SQLite file, and the operating-system lock that admits one worker to it."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from ...errors import SupersededWorker, Unavailable, WorkerRunning
from ...runtime.failpoints import failpoint
from ..instants import instant, microseconds
from ..port import Append, Claim, FencingToken, QueueEntry, WorkerRow
from .database import SQL, SqliteDatabase, microseconds_now


class WorkerLock:
    """An exclusive lock beside the ledger's file, which the operating system drops when its holder dies."""

    def __init__(self, ledger: Path) -> None:
        self.path = ledger.with_name(f"{ledger.name}-worker")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises `WorkerRunning` if someone else, or this process already, has it."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise Unavailable(f"{self.path} cannot be opened ({error.strerror}): a worker locks it") from error
        try:
            with failpoint("file lock"):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise WorkerRunning(
                f"another worker holds {self.path}, and a SQLite ledger takes exactly one: "
                "stop that one first, or use a postgresql:// ledger for many"
            ) from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock up, if it is held. The file stays: removing it would let two workers lock two files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class SqliteWorkQueue:
    """Which sagas of the file want a worker (see `port.WorkQueue` for what each method promises).

    The lock says who works; the row in `workers` carries the epoch, and shows the worker to other processes. Whoever
    gets the lock knows that every lease in the table is dead.
    """

    def __init__(self, file: SqliteDatabase) -> None:
        self._file = file
        self._lock = WorkerLock(file.path)

    def close(self) -> None:
        """Give up the worker's lock, if this object has it."""
        self._lock.release()

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

    def renew(self, epoch: FencingToken, *, lease_seconds: float) -> None:
        with self._file.writing() as connection:
            lease_until = microseconds_now() + round(lease_seconds * 1e6)
            if connection.execute(SQL["renew"], (lease_until, *epoch)).rowcount == 0:
                raise SupersededWorker(*epoch)

    def retire(self, epoch: FencingToken) -> None:
        with self._file.writing() as connection:
            _release_all(connection, epoch.worker_id, microseconds_now())
            connection.execute(SQL["retire"], epoch)
        self._lock.release()

    def take_over(self) -> list[str]:
        """Nothing: the lock admits one worker, and `register` ended the leases of the dead."""
        return []

    def has_work(self, epoch: FencingToken, *, definitions: Sequence[tuple[str, int]]) -> bool:
        wanted = {
            "worker_id": epoch.worker_id,
            "now": microseconds_now(),
            "definitions": json.dumps(list(definitions)),
        }
        with self._file.reading() as connection:
            (has_work,) = connection.execute(SQL["stirs"], wanted).fetchone()
        return bool(has_work)

    def claim(self, epoch: FencingToken, *, definitions: Sequence[tuple[str, int]], limit: int) -> list[Claim]:
        with self._file.writing() as connection:
            if connection.execute(SQL["holds_lease"], epoch).fetchone() is None:
                raise SupersededWorker(*epoch)
            wanted = {
                "worker_id": epoch.worker_id,
                "now": microseconds_now(),
                "definitions": json.dumps(list(definitions)),
                "limit": limit,
            }
            claimed = connection.execute(SQL["claim"], wanted).fetchall()
        return [Claim(*row[:3]) for row in sorted(claimed, key=lambda row: (row[3], row[0]))]

    def notified(self, epoch: FencingToken) -> list[str]:
        with self._file.writing() as connection:
            return [saga_id for (saga_id,) in connection.execute(SQL["nudged"], (epoch.worker_id,)).fetchall()]

    def release(self, epoch: FencingToken, saga_ids: Sequence[str]) -> None:
        released = {"worker_id": epoch.worker_id, "saga_ids": json.dumps(list(saga_ids)), "now": microseconds_now()}
        with self._file.writing() as connection:
            connection.execute(SQL["release"], released)

    def due(self) -> list[QueueEntry]:
        with self._file.reading() as connection:
            return [
                QueueEntry(saga_id, definition, version, instant(due_at), worker_id)
                for saga_id, definition, version, due_at, worker_id in connection.execute(SQL["due"])
            ]

    def put_due(self, changes: Sequence[QueueEntry]) -> None:
        with self._file.writing() as connection:
            _put(connection, changes, microseconds_now())

    def workers(self) -> list[WorkerRow]:
        with self._file.reading() as connection:
            return [
                WorkerRow(worker_id, epoch, host, pid, instant(started_at), instant(lease_until), sagas)
                for worker_id, epoch, host, pid, started_at, lease_until, sagas in connection.execute(SQL["workers"])
            ]


def apply_due(connection: sqlite3.Connection, accepted: Sequence[Append], now: int) -> None:
    """Write what the appends of a call say about the due work, in the call's own transaction."""
    _put(connection, [append.due for append in accepted if append.due is not None], now)
    for notify in (notify for append in accepted for notify in append.notify):
        connection.execute(SQL["nudge"], {**notify._asdict(), "now": now})


def _put(connection: sqlite3.Connection, changes: Sequence[QueueEntry], now: int) -> None:
    """Set rows as given; without a due time the row goes. Of two changes of one saga the later one counts."""
    over = [change.saga_id for change in changes if change.due_at is None]
    if over and connection.executemany(SQL["remove_due"], ((saga_id,) for saga_id in over)).rowcount < len(over):
        connection.executemany(SQL["keep_nudged"], ((saga_id, now) for saga_id in over))
    latest = {change.saga_id: change for change in changes}.values()
    rows = [(*change[:3], microseconds(change.due_at), change.worker_id, now) for change in latest if change.due_at]
    if rows:
        connection.executemany(SQL["put_due"], rows)


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
