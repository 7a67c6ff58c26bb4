"""The work queue in PostgreSQL: many workers, each with a lease by the database's clock.

A transaction that changes many rows of `due` and waits for row locks locks the head first, as an append does, so that
two of them never deadlock; claiming skips locked rows instead. A lease ends under the head's lock too: an append that
has it need not lock its worker's row to be sure that the lease holds until the commit.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import SupersededWorker
from ..work_queue import OVERDUE_MAX, Claim, FencingToken, Overdue, QueueEntry, WorkerRow
from .database import SQL, PostgresDatabase


class PostgresWorkQueue:
    """The work queue of the schema (the port `WorkQueue` says what each method promises)."""

    has_own_clock = True

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def register(self, *, host: str, pid: int, lease_seconds: float) -> FencingToken:
        with self._database.transaction() as connection:
            wanted = {"host": host, "pid": pid, "lease_seconds": lease_seconds}
            ((worker_id, epoch),) = connection.execute(SQL["register"], wanted).fetchall()
        return FencingToken(worker_id, epoch)

    def renew(self, token: FencingToken, *, lease_seconds: float) -> None:
        with self._database.transaction() as connection:
            wanted = {"worker_id": token.worker_id, "epoch": token.epoch, "lease_seconds": lease_seconds}
            if connection.execute(SQL["renew"], wanted).rowcount == 0:
                raise SupersededWorker(*token)

    def retire(self, token: FencingToken) -> None:
        with self._database.transaction() as connection:
            connection.execute(SQL["lock_head"])
            connection.execute(SQL["retire"], token)
            connection.execute(SQL["release_all"], ([token.worker_id],))

    def take_over(self) -> list[str]:
        if not self._database.fetch("has_ended_leases"):
            return []
        with self._database.transaction() as connection:
            connection.execute(SQL["lock_head"])
            ended = [worker_id for (worker_id,) in connection.execute(SQL["end_leases"])]
            connection.execute(SQL["release_all"], (ended,))
        return ended

    def has_work(self, token: FencingToken, *, definitions: Sequence[tuple[str, int]]) -> bool:
        wanted = {"worker_id": token.worker_id, **definition_columns(definitions)}
        ((has_work,),) = self._database.fetch("has_work", wanted)
        return bool(has_work)

    def claim(self, token: FencingToken, *, definitions: Sequence[tuple[str, int]], limit: int) -> list[Claim]:
        with self._database.transaction() as connection:
            if connection.execute(SQL["hold_lease"], token).fetchone() is None:
                raise SupersededWorker(*token)
            wanted = {"worker_id": token.worker_id, "limit": limit, **definition_columns(definitions)}
            claimed = connection.execute(SQL["claim"], wanted).fetchall()
        return [Claim(*row[:3]) for row in sorted(claimed, key=lambda row: (row[3], row[0]))]

    def notified(self, token: FencingToken) -> list[str]:
        with self._database.transaction() as connection:
            return [saga_id for (saga_id,) in connection.execute(SQL["notified"], (token.worker_id,))]

    def release(self, token: FencingToken, saga_ids: Sequence[str]) -> None:
        with self._database.transaction() as connection:
            connection.execute(SQL["lock_head"])
            connection.execute(SQL["release"], (token.worker_id, list(saga_ids)))

    def entries(self) -> list[QueueEntry]:
        return [QueueEntry(*row) for row in self._database.fetch("entries")]

    def entry(self, saga_id: str) -> QueueEntry | None:
        found = self._database.fetch("entry", (saga_id,))
        return QueueEntry(*found[0]) if found else None

    def overdue(self) -> list[Overdue]:
        return [Overdue(*row) for row in self._database.fetch("overdue", (OVERDUE_MAX,))]

    def workers(self) -> list[WorkerRow]:
        return [WorkerRow(*row) for row in self._database.fetch("workers")]


def definition_columns(definitions: Sequence[tuple[str, int]]) -> dict[str, list[str] | list[int]]:
    """Return definitions (name, version) as the two array parameters of a statement."""
    return {"definitions": [name for name, _ in definitions], "versions": [version for _, version in definitions]}
