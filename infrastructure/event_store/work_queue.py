"""The port to the work queue: which sagas want a worker, and which worker holds each of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol


class QueueEntry(NamedTuple):
    """A saga's entry in the work queue.

    From `due_at` on the saga wants a worker. `worker_id` is the worker that holds it; None: any worker may claim it.
    An append that writes an entry with `due_at` None removes the saga from the queue: it has ended, or is parked.
    """

    saga_id: str
    definition: str
    definition_version: int
    due_at: datetime | None
    worker_id: str | None


class FencingToken(NamedTuple):
    """The proof of a lease that a worker sends with everything it writes.

    Each lease has a higher epoch than all leases before it, so that a worker whose lease was taken over is refused.
    """

    worker_id: str
    epoch: int


class Claim(NamedTuple):
    """A saga that the queue has given to a worker."""

    saga_id: str
    definition: str
    definition_version: int


class WorkerRow(NamedTuple):
    """A worker with a lease."""

    worker_id: str
    epoch: int
    host: str
    pid: int
    started_at: datetime
    lease_until: datetime
    sagas: int
    """How many sagas it holds."""


class Overdue(NamedTuple):
    """The sagas of one definition that are due and that no worker holds."""

    definition: str
    sagas: int
    oldest_seconds: float
    """How long the first of them has been due."""


OVERDUE_MAX = 10_000
"""How many such sagas are counted, of all definitions together."""


class WorkQueue(Protocol):
    """Which sagas want a worker, and which worker holds each of them."""

    has_own_clock: bool
    """Whether the queue's times come from another clock than the wall clock of this machine."""

    def register(self, *, host: str, pid: int, lease_seconds: float) -> FencingToken:
        """Take a lease under a new worker id, with a higher epoch than every lease before it.

        A SQLite file admits exactly one worker, by an operating-system file lock that ends with the process: raises
        `WorkerRunning` if another one has it.
        """
        ...

    def renew(self, token: FencingToken, *, lease_seconds: float) -> None:
        """Extend the lease. Raises `SupersededWorker` if it was taken over."""
        ...

    def retire(self, token: FencingToken) -> None:
        """Give up the lease and release every saga that the worker holds."""
        ...

    def take_over(self) -> list[str]:
        """End every lease that has run out, release what its worker held, and return those workers' ids."""
        ...

    def has_work(self, token: FencingToken, *, definitions: Sequence[tuple[str, int]]) -> bool:
        """Return whether this worker has something to do: a due saga to claim, a notification, or a start request.

        Workers ask many times a second and the answer is almost always no, so this takes no lock and writes nothing.
        """
        ...

    def claim(self, token: FencingToken, *, definitions: Sequence[tuple[str, int]], limit: int) -> list[Claim]:
        """Take up to `limit` due sagas of these definitions (name, version) that no worker holds, earliest due first.

        Raises `SupersededWorker` if the lease was taken over.
        """
        ...

    def notified(self, token: FencingToken) -> list[str]:
        """Return the sagas of this worker to whose streams another writer appended since the last call."""
        ...

    def release(self, token: FencingToken, saga_ids: Sequence[str]) -> None:
        """Give sagas back: they stay due, and any worker may claim them. Skips those that this worker does not hold."""
        ...

    def entries(self) -> list[QueueEntry]:
        """Return every entry, by saga id, for the reconciler, which compares the queue with the log."""
        ...

    def entry(self, saga_id: str) -> QueueEntry | None:
        """Return a saga's entry, if it has one."""
        ...

    def overdue(self) -> list[Overdue]:
        """Return how many sagas are due and held by no worker, by definition; counts `OVERDUE_MAX` of them at most."""
        ...

    def workers(self) -> list[WorkerRow]:
        """Return every worker with a lease, by epoch."""
        ...
