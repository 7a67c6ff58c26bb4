"""The due work of the simulated store: the rules of `queries.sql`, on a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from sagaledger.infrastructure.errors import SupersededWorker
from sagaledger.infrastructure.event_store.port import Append, Claim, FencingToken, QueueEntry, WorkerRow


@dataclass
class DueRow:
    """A saga that wants a worker."""

    saga_id: str
    definition: str
    definition_version: int
    due_at: datetime
    worker_id: str | None
    notified: bool = False

    def free(self, now: datetime) -> None:
        """Nobody holds it any more; a nudge that was not told makes it due at once."""
        if self.notified:
            self.due_at = min(self.due_at, now)
        self.worker_id, self.notified = None, False


@dataclass
class LeaseRow:
    """A worker with a lease."""

    epoch: FencingToken
    host: str
    pid: int
    started_at: datetime
    lease_until: datetime


class SimulatedQueue:
    """Which sagas want a worker (see `port.WorkQueue` for what each method promises)."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._due: dict[str, DueRow] = {}
        self._leases: dict[str, LeaseRow] = {}
        self._epochs = count(1)
        self.lost_due: set[str] = set()
        """The sagas whose row was deleted, by whoever may not do that."""
        self.lease_ended: list[Callable[[FencingToken], None]] = []
        """Told of each lease when it ends, before anything else happens."""

    def register(self, *, host: str, pid: int, lease_seconds: float) -> FencingToken:
        number = next(self._epochs)
        epoch = FencingToken(f"worker-{number}", number)  # without the process id, which no seed decides
        now = self._clock()
        self._leases[epoch.worker_id] = LeaseRow(epoch, host, pid, now, now + timedelta(seconds=lease_seconds))
        return epoch

    def renew(self, epoch: FencingToken, *, lease_seconds: float) -> None:
        self.check_lease(epoch)
        self._leases[epoch.worker_id].lease_until = self._clock() + timedelta(seconds=lease_seconds)

    def retire(self, epoch: FencingToken) -> None:
        if self.holds(epoch):
            self._end(epoch)
        for row in self._held_by(epoch.worker_id):
            row.free(self._clock())

    def take_over(self) -> list[str]:
        now = self._clock()
        over = [lease.epoch for lease in self._leases.values() if lease.lease_until < now]
        for epoch in over:
            self.retire(epoch)
        return [epoch.worker_id for epoch in over]

    def has_work(self, epoch: FencingToken, *, definitions: Sequence[tuple[str, int]]) -> bool:
        now = self._clock()
        notified = any(row.notified for row in self._held_by(epoch.worker_id))
        return notified or any(row.due_at <= now for row in self._free(definitions))

    def claim(self, epoch: FencingToken, *, definitions: Sequence[tuple[str, int]], limit: int) -> list[Claim]:
        self.check_lease(epoch)
        now = self._clock()
        free = [row for row in self._free(definitions) if row.due_at <= now]
        claimed = sorted(free, key=lambda row: (row.due_at, row.saga_id))[:limit]
        for row in claimed:
            row.worker_id = epoch.worker_id
        return [Claim(row.saga_id, row.definition, row.definition_version) for row in claimed]

    def notified(self, epoch: FencingToken) -> list[str]:
        told = [row for row in self._held_by(epoch.worker_id) if row.notified]
        for row in told:
            row.notified = False
        return [row.saga_id for row in told]

    def release(self, epoch: FencingToken, saga_ids: Sequence[str]) -> None:
        for row in self._held_by(epoch.worker_id):
            if row.saga_id in saga_ids:
                row.free(self._clock())

    def due(self) -> list[QueueEntry]:
        rows = sorted(self._due.values(), key=lambda row: row.saga_id)
        return [QueueEntry(r.saga_id, r.definition, r.definition_version, r.due_at, r.worker_id) for r in rows]

    def put_due(self, changes: Sequence[QueueEntry]) -> None:
        for change in changes:
            self._put(change, self._clock())

    def workers(self) -> list[WorkerRow]:
        return [
            WorkerRow(id_, w.epoch.epoch, w.host, w.pid, w.started_at, w.lease_until, len(list(self._held_by(id_))))
            for id_, w in self._leases.items()
        ]

    def holds(self, epoch: FencingToken) -> bool:
        """Whether a lease holds still: until someone ends it, however late that is."""
        lease = self._leases.get(epoch.worker_id)
        return lease is not None and lease.epoch == epoch

    def check_lease(self, epoch: FencingToken) -> None:
        """Raise `SupersededWorker` if it does not."""
        if not self.holds(epoch):
            raise SupersededWorker(*epoch)

    def lasts(self, worker_id: str) -> bool:
        """Whether a worker's lease has time left, so that nobody could have ended it by now."""
        lease = self._leases.get(worker_id)
        return lease is not None and self._clock() <= lease.lease_until

    def held_by(self, worker_id: str) -> set[str]:
        """The sagas that are in a worker's hands, as the due work has it."""
        return {row.saga_id for row in self._held_by(worker_id)}

    def lose_due(self, saga_id: str) -> None:
        """What nobody may do, and somebody will: delete a row of the due work."""
        self._due.pop(saga_id, None)
        self.lost_due.add(saga_id)

    def apply_due(self, accepted: Iterable[Append], now: datetime) -> None:
        """What the appends of a call say about the due work."""
        accepted = list(accepted)
        for append in accepted:
            if append.due is not None:
                self._put(append.due, now)
        for notify in (notify for append in accepted for notify in append.notify):
            self._nudge(notify, now)

    def _put(self, change: QueueEntry, now: datetime) -> None:
        row = self._due.get(change.saga_id)
        if change.due_at is None:
            if row is not None and row.notified:
                row.free(now)
            else:
                self._due.pop(change.saga_id, None)
            return
        due_at, notified = change.due_at, row is not None and row.notified
        if notified and change.worker_id is None:
            due_at, notified = min(due_at, now), False
        self._due[change.saga_id] = DueRow(*change[:3], due_at, change.worker_id, notified)

    def _nudge(self, change: QueueEntry, now: datetime) -> None:
        row = self._due.get(change.saga_id)
        if row is None:
            self._due[change.saga_id] = DueRow(*change[:3], now, None)
        else:
            row.due_at = min(row.due_at, now)
            row.notified = row.worker_id is not None

    def _end(self, epoch: FencingToken) -> None:
        for tell in self.lease_ended:
            tell(epoch)
        del self._leases[epoch.worker_id]

    def _held_by(self, worker_id: str) -> Iterable[DueRow]:
        return [row for row in self._due.values() if row.worker_id == worker_id]

    def _free(self, definitions: Sequence[tuple[str, int]]) -> Iterable[DueRow]:
        known = set(definitions)
        return (
            row
            for row in self._due.values()
            if row.worker_id is None and (row.definition, row.definition_version) in known
        )
