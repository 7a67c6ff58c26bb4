"""A worker's lease: what a worker writes counts only while it holds one."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta

from ....domain.recorded_event import Meta
from ...errors import Unavailable
from ...event_store.work_queue import FencingToken, WorkQueue
from .process_identity import is_gone, process_identity

EXPIRY_CHECK_SECONDS = 0.5
"""How often a worker looks for leases of other workers that have run out."""
TAKES_MAX = 5


class Lease:
    """A lease that is renewed once a third of it has passed, measured by a clock that nobody can set."""

    token: FencingToken
    meta: Meta

    def __init__(self, queue: WorkQueue, lease_seconds: float, monotonic: Callable[[], float]) -> None:
        self._queue = queue
        self._monotonic = monotonic
        self._lease_seconds = lease_seconds
        self._safe_until = 0.0
        self._renew_at = 0.0
        self._check_at = 0.0
        self._lost = True
        self._host = process_identity()
        self._take()

    def hold(self) -> None:
        """Renew the lease if it is time to, or take a new one; and end leases of others that have run out.

        Raises `SupersededWorker` if it was taken over.
        """
        began = self._monotonic()
        if self._lost:
            self._queue.retire(self.token)
            self._take()
        else:
            self.keep()
        if began >= self._check_at:
            self._queue.take_over()
            self._retire_the_gone()
            self._check_at = began + EXPIRY_CHECK_SECONDS

    def keep(self) -> None:
        """Renew the lease during long work, if it is time to. Raises `SupersededWorker` if it was taken over."""
        began = self._monotonic()
        if began >= self._renew_at:
            self._queue.renew(self.token, lease_seconds=self._lease_seconds)
            self._renewed(began)

    def lose(self) -> None:
        """Note that it was taken over: `hold` takes a new one, with an epoch above every earlier one."""
        self._lost = True

    @property
    def is_safe(self) -> bool:
        """Whether it holds long enough for an attempt to begin under it."""
        return not self._lost and self._monotonic() < self._safe_until

    @property
    def seconds_to_wait(self) -> float:
        """How long until `hold` has something to do."""
        return max(0.0, min(self._renew_at, self._check_at) - self._monotonic())

    def now(self) -> datetime:
        """Returns the database's time when the lease was taken, carried on by a clock that nobody can set.

        So a wall clock that jumps, here or on another machine, fires no timer early.
        """
        return self._registered_at + timedelta(seconds=self._monotonic() - self._registered)

    def retire(self) -> None:
        """Give up the lease, and everything held under it."""
        self._queue.retire(self.token)

    def _retire_the_gone(self) -> None:
        """End the leases of workers on this host whose process is gone: they need not run out first."""
        for worker in self._queue.workers():
            if worker.host == self._host and is_gone(worker.pid):
                self._queue.retire(FencingToken(worker.worker_id, worker.epoch))

    def _take(self) -> None:
        """Take a lease; take another if this process was stopped meanwhile for so long that the first one ended."""
        for _ in range(TAKES_MAX):
            began = self._monotonic()
            self.token = self._queue.register(host=self._host, pid=os.getpid(), lease_seconds=self._lease_seconds)
            mine = next((row for row in self._queue.workers() if row.worker_id == self.token.worker_id), None)
            if mine is not None:
                self.meta = Meta(worker=self.token.worker_id, epoch=self.token.epoch)
                self._registered_at, self._registered = mine.started_at, self._monotonic()
                self._renewed(began)
                self._lost = False
                return
            self._queue.retire(self.token)
        raise Unavailable(
            f"a lease of {self._lease_seconds:g} s ended {TAKES_MAX} times before it could be used: "
            "set a longer `lease_seconds`"
        )

    def _renewed(self, began: float) -> None:
        self._renew_at = began + self._lease_seconds / 3
        self._safe_until = began + self._lease_seconds * 2 / 3
