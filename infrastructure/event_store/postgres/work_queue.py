"""The due work in PostgreSQL: many workers, each with a lease on the database's clock.

Whatever changes many rows of `due` and waits for locks does so under the lock on `head`, as an append does, so that
they never wait for each other in a circle; claiming skips what is locked instead. A lease ends under that lock, too: an
append that has it need not lock its worker's row to be sure that the lease holds until it commits.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import SupersededWorker
from ..port import Claim, FencingToken, QueueEntry, WorkerRow
from .database import SQL, PostgresDatabase


class PostgresWorkQueue:
    """Which sagas want a worker (see `port.WorkQueue` for what each method promises)."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def register(self, *, host: str, pid: int, lease_seconds: float) -> FencingToken:
        with self._database.transaction() as connection:
            wanted = {"host": host, "pid": pid, "lease_seconds": lease_seconds}
            ((worker_id, epoch),) = connection.execute(SQL["register"], wanted).fetchall()
        return FencingToken(worker_id, epoch)

    def renew(self, epoch: FencingToken, *, lease_seconds: float) -> None:
        with self._database.transaction() as connection:
            wanted = {"worker_id": epoch.worker_id, "epoch": epoch.epoch, "lease_seconds": lease_seconds}
            if connection.execute(SQL["renew"], wanted).rowcount == 0:
                raise SupersededWorker(*epoch)

    def retire(self, epoch: FencingToken) -> None:
        with self._database.transaction() as connection:
            connection.execute(SQL["lock_head"])
            connection.execute(SQL["retire"], epoch)
            connection.execute(SQL["release_all"], ([epoch.worker_id],))

    def take_over(self) -> list[str]:
        if not self._database.fetch("has_ended_leases"):
            return []
        with self._database.transaction() as connection:
            connection.execute(SQL["lock_head"])
            ended = [worker_id for (worker_id,) in connection.execute(SQL["end_leases"])]
            connection.execute(SQL["release_all"], (ended,))
        return ended

    def has_work(self, epoch: FencingToken, *, definitions: Sequence[tuple[str, int]]) -> bool:
        names, versions = _columns(definitions)
        wanted = {"worker_id": epoch.worker_id, "definitions": names, "versions": versions}
        ((has_work,),) = self._database.fetch("stirs", wanted)
        return bool(has_work)

    def claim(self, epoch: FencingToken, *, definitions: Sequence[tuple[str, int]], limit: int) -> list[Claim]:
        names, versions = _columns(definitions)
        with self._database.transaction() as connection:
            if connection.execute(SQL["hold_lease"], epoch).fetchone() is None:
                raise SupersededWorker(*epoch)
            wanted = {"worker_id": epoch.worker_id, "definitions": names, "versions": versions, "limit": limit}
            claimed = connection.execute(SQL["claim"], wanted).fetchall()
        return [Claim(*row[:3]) for row in sorted(claimed, key=lambda row: (row[3], row[0]))]

    def notified(self, epoch: FencingToken) -> list[str]:
        with self._database.transaction() as connection:
            return [saga_id for (saga_id,) in connection.execute(SQL["nudged"], (epoch.worker_id,))]

    def release(self, epoch: FencingToken, saga_ids: Sequence[str]) -> None:
        with self._database.transaction() as connection:
            connection.execute(SQL["lock_head"])
            connection.execute(SQL["release"], (epoch.worker_id, list(saga_ids)))

    def due(self) -> list[QueueEntry]:
        return [QueueEntry(*row) for row in self._database.fetch("due")]

    def put_due(self, changes: Sequence[QueueEntry]) -> None:
        with self._database.transaction() as connection:
            connection.execute(SQL["lock_head"])
            connection.execute(SQL["put_due"], due_columns(changes))

    def workers(self) -> list[WorkerRow]:
        return [WorkerRow(*row) for row in self._database.fetch("workers")]


def due_columns(changes: Sequence[QueueEntry]) -> list[list[object]]:
    """Due changes as one list for each column."""
    return [list(column) for column in zip(*changes, strict=True)] or [[] for _ in QueueEntry._fields]


def _columns(definitions: Sequence[tuple[str, int]]) -> tuple[list[str], list[int]]:
    return [name for name, _ in definitions], [version for _, version in definitions]
