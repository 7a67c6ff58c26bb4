"""A worker's lease: what it writes counts only while it holds."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta

from ....domain.recorded_event import Meta
from ...errors import Unavailable
from ...event_store.work_queue import FencingToken, WorkQueue
from .process_identity import is_gone, process_identity

LOOK_SECONDS = 0.5
"""How often a worker looks for leases of others that have run out."""
TAKES_MAX = 5


class Lease:
    """A lease, renewed when a third of it has passed. Time is measured by a clock that nobody can set."""

    epoch: FencingToken
    meta: Meta

    def __init__(self, queue: WorkQueue, lease_seconds: float, monotonic: Callable[[], float]) -> None:
        self._queue = queue
        self._monotonic = monotonic
        self._lease_seconds = lease_seconds
        self._safe_until = 0.0
        self._renew_at = 0.0
        self._look_at = 0.0
        self._lost = True
        self._place = process_identity()
        self._take()

    def hold(self) -> None:
        """Extend it if it is time to, or take a new one; and end those of workers that let theirs run out, soon after.

        Raises `SupersededWorker` if it was taken over.
        """
        began = self._monotonic()
        if self._lost:
            self._queue.retire(self.epoch)
            self._take()
        else:
            self.keep()
        if began >= self._look_at:
            self._queue.take_over()
            self._end_the_gone()
            self._look_at = began + LOOK_SECONDS

    def keep(self) -> None:
        """Extend it in the middle of long work, if it is time to. Raises `SupersededWorker` if it was taken over."""
        began = self._monotonic()
        if began >= self._renew_at:
            self._queue.renew(self.epoch, lease_seconds=self._lease_seconds)
            self._renewed(began)

    def lose(self) -> None:
        """It was taken over: `hold` takes a new one, with an epoch above every earlier one."""
        self._lost = True

    @property
    def safe(self) -> bool:
        """Whether it holds for a while yet, so that something may be begun under it."""
        return not self._lost and self._monotonic() < self._safe_until

    @property
    def seconds_to_wait(self) -> float:
        """How long until `hold` has something to do."""
        return max(0.0, min(self._renew_at, self._look_at) - self._monotonic())

    def now(self) -> datetime:
        """The ledger's time: the database's when the lease was taken, and since then by a clock that nobody can set.

        So a clock that jumps, here or on another machine, fires no timer early.
        """
        return self._registered_at + timedelta(seconds=self._monotonic() - self._registered)

    def retire(self) -> None:
        """Give it up, and everything held under it."""
        self._queue.retire(self.epoch)

    def _end_the_gone(self) -> None:
        """End the leases of workers of this very place whose process is gone: nobody has to wait for those."""
        for worker in self._queue.workers():
            if worker.host == self._place and is_gone(worker.pid):
                self._queue.retire(FencingToken(worker.worker_id, worker.epoch))

    def _take(self) -> None:
        """Take a new one; another, if this process was stopped just here, for so long that the first has ended."""
        for _ in range(TAKES_MAX):
            began = self._monotonic()
            self.epoch = self._queue.register(host=self._place, pid=os.getpid(), lease_seconds=self._lease_seconds)
            mine = next((row for row in self._queue.workers() if row.worker_id == self.epoch.worker_id), None)
            if mine is not None:
                self.meta = Meta(worker=self.epoch.worker_id, epoch=self.epoch.epoch)
                self._registered_at, self._registered = mine.started_at, self._monotonic()
                self._renewed(began)
                self._lost = False
                return
            self._queue.retire(self.epoch)
        raise Unavailable(
            f"a lease of {self._lease_seconds:g} s ended {TAKES_MAX} times before it could be used: take a longer one"
        )

    def _renewed(self, began: float) -> None:
        self._renew_at = began + self._lease_seconds / 3
        self._safe_until = began + self._lease_seconds * 2 / 3
