"""The work queue in memory: a dictionary of entries, and one of leases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from threading import RLock

from sagaledger.infrastructure.errors import SupersededWorker
from sagaledger.infrastructure.event_store.append_call import Append
from sagaledger.infrastructure.event_store.work_queue import (
    OVERDUE_MAX,
    Claim,
    FencingToken,
    Overdue,
    QueueEntry,
    WorkerRow,
)


@dataclass
class Entry:
    """A saga that wants a worker."""

    saga_id: str
    definition: str
    definition_version: int
    due_at: datetime
    worker_id: str | None
    notified: bool = False

    def free(self, now: datetime) -> None:
        """Take it from its worker. If that one has not seen a notification yet, the saga is due at once."""
        if self.notified:
            self.due_at = min(self.due_at, now)
        self.worker_id, self.notified = None, False


@dataclass
class Lease:
    """A worker's lease."""

    token: FencingToken
    host: str
    pid: int
    started_at: datetime
    lease_until: datetime


class MemoryWorkQueue:
    """The port `WorkQueue`, and the parts of an append that concern it."""

    has_own_clock = True

    def __init__(self, now: Callable[[], datetime], lock: RLock) -> None:
        self._now = now
        self._lock = lock
        self._entries: dict[str, Entry] = {}
        self._leases: dict[str, Lease] = {}
        self._epochs = count(1)

    def register(self, *, host: str, pid: int, lease_seconds: float) -> FencingToken:
        with self._lock:
            epoch = next(self._epochs)
            token = FencingToken(f"worker-{epoch}", epoch)  # no process id: a simulation's seed does not decide that
            now = self._now()
            self._leases[token.worker_id] = Lease(token, host, pid, now, now + timedelta(seconds=lease_seconds))
        return token

    def renew(self, token: FencingToken, *, lease_seconds: float) -> None:
        with self._lock:
            self._check_lease(token)
            self._leases[token.worker_id].lease_until = self._now() + timedelta(seconds=lease_seconds)

    def retire(self, token: FencingToken) -> None:
        with self._lock:
            if self._holds(token):
                self._end_lease(token)
            for entry in self._held_by(token.worker_id):
                entry.free(self._now())

    def take_over(self) -> list[str]:
        with self._lock:
            now = self._now()
            over = [lease.token for lease in self._leases.values() if lease.lease_until < now]
            for token in over:
                self.retire(token)
        return [token.worker_id for token in over]

    def has_work(self, token: FencingToken, *, definitions: Sequence[tuple[str, int]]) -> bool:
        with self._lock:
            now = self._now()
            notified = any(entry.notified for entry in self._held_by(token.worker_id))
            return notified or any(entry.due_at <= now for entry in self._free(definitions))

    def claim(self, token: FencingToken, *, definitions: Sequence[tuple[str, int]], limit: int) -> list[Claim]:
        with self._lock:
            self._check_lease(token)
            now = self._now()
            due = [entry for entry in self._free(definitions) if entry.due_at <= now]
            claimed = sorted(due, key=lambda entry: (entry.due_at, entry.saga_id))[:limit]
            for entry in claimed:
                entry.worker_id = token.worker_id
        return [Claim(entry.saga_id, entry.definition, entry.definition_version) for entry in claimed]

    def notified(self, token: FencingToken) -> list[str]:
        with self._lock:
            notified = [entry for entry in self._held_by(token.worker_id) if entry.notified]
            for entry in notified:
                entry.notified = False
        return [entry.saga_id for entry in notified]

    def release(self, token: FencingToken, saga_ids: Sequence[str]) -> None:
        with self._lock:
            for entry in self._held_by(token.worker_id):
                if entry.saga_id in saga_ids:
                    entry.free(self._now())

    def entries(self) -> list[QueueEntry]:
        with self._lock:
            entries = sorted(self._entries.values(), key=lambda entry: entry.saga_id)
        return [QueueEntry(e.saga_id, e.definition, e.definition_version, e.due_at, e.worker_id) for e in entries]

    def entry(self, saga_id: str) -> QueueEntry | None:
        return next((entry for entry in self.entries() if entry.saga_id == saga_id), None)

    def overdue(self) -> list[Overdue]:
        with self._lock:
            now = self._now()
            free = [e for e in self._entries.values() if e.worker_id is None and e.due_at <= now][:OVERDUE_MAX]
        due = {name: [e.due_at for e in free if e.definition == name] for name in sorted({e.definition for e in free})}
        return [Overdue(name, len(since), (now - min(since)).total_seconds()) for name, since in due.items()]

    def workers(self) -> list[WorkerRow]:
        with self._lock:
            return [
                WorkerRow(*lease.token, lease.host, lease.pid, lease.started_at, lease.lease_until, sagas)
                for lease in self._leases.values()
                for sagas in [len(self._held_by(lease.token.worker_id))]
            ]

    # The parts of an append, under the lock

    def _check_lease(self, token: FencingToken) -> None:
        if not self._holds(token):
            raise SupersededWorker(*token)

    def _write_entries(self, accepted: Sequence[Append], now: datetime) -> None:
        for append in accepted:
            if append.queue_entry is not None:
                self._put(append.queue_entry, now)
        for entry in (entry for append in accepted for entry in append.notify):
            self._notify(entry, now)

    def _put(self, new: QueueEntry, now: datetime) -> None:
        entry = self._entries.get(new.saga_id)
        notified = entry is not None and entry.notified
        if new.due_at is None:
            if entry is not None and notified:
                entry.free(now)
            else:
                self._entries.pop(new.saga_id, None)
            return
        written = Entry(*new[:3], new.due_at, new.worker_id, notified)
        if new.worker_id is None:
            written.free(now)
        self._entries[new.saga_id] = written

    def _notify(self, new: QueueEntry, now: datetime) -> None:
        entry = self._entries.get(new.saga_id)
        if entry is None:
            self._entries[new.saga_id] = Entry(*new[:3], now, None)
        else:
            entry.due_at = min(entry.due_at, now)
            entry.notified = entry.worker_id is not None

    def _holds(self, token: FencingToken) -> bool:
        """Return whether a lease holds: it does until it is ended, however long ago it ran out."""
        lease = self._leases.get(token.worker_id)
        return lease is not None and lease.token == token

    def _end_lease(self, token: FencingToken) -> None:
        del self._leases[token.worker_id]

    def _held_by(self, worker_id: str) -> list[Entry]:
        return [entry for entry in self._entries.values() if entry.worker_id == worker_id]

    def _free(self, definitions: Sequence[tuple[str, int]]) -> list[Entry]:
        known = set(definitions)
        return [
            entry
            for entry in self._entries.values()
            if entry.worker_id is None and (entry.definition, entry.definition_version) in known
        ]
