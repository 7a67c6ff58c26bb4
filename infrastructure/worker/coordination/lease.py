"""A worker's lease: what a worker writes counts only while it holds one."""

from __future__ import annotations

import logging
import os
from datetime import datetime, timedelta

from ....domain.recorded_event import Meta
from ...errors import Unavailable
from ...event_store.work_queue import FencingToken, WorkerRow, WorkQueue
from ...runtime.clock import Clock
from .process_identity import is_gone, process_identity

log = logging.getLogger(__name__)

EXPIRY_CHECK_SECONDS = 0.5
"""How often a worker looks for leases of other workers that have run out."""
TAKES_MAX = 5
CLOCK_DRIFT_SECONDS_MAX = 1.0
"""By how much the wall clock may differ from the monotonic one before the database's clock is read again."""


class Lease:
    """A lease that is renewed once a third of it has passed, measured by a clock that nobody can set."""

    token: FencingToken
    meta: Meta
    renewed_at: float
    """When it was taken or last renewed, by the monotonic clock."""

    def __init__(self, queue: WorkQueue, lease_seconds: float, clock: Clock) -> None:
        self._queue = queue
        self._monotonic = clock.monotonic
        self._wall = clock.now
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
            ended = self._queue.take_over()
            if ended:
                self._note_taken_over(ended)
            self._retire_the_gone()
            self._check_clock()
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
        """Returns the database's time when it was last read, carried on by a clock that nobody can set.

        So a wall clock that jumps, here or on another machine, fires no timer early. Any thread may ask.
        """
        read_at, read, _ = self._reading
        return read_at + timedelta(seconds=self._monotonic() - read)

    def retire(self) -> None:
        """Give up the lease, and everything held under it."""
        self._queue.retire(self.token)

    def _check_clock(self) -> None:
        """Read the database's clock again if this machine's two clocks drift apart: one jumped, or one stood still.

        A virtual machine that was suspended does not learn of it by its monotonic clock. Where the database's clock is
        this machine's wall clock, it cannot say which of the two is right, and is not asked.

        Raises `SupersededWorker` if the lease was taken over meanwhile.
        """
        _, read, read_by_wall = self._reading
        elapsed = self._monotonic() - read
        drift = (self._wall() - read_by_wall).total_seconds() - elapsed
        if abs(drift) < CLOCK_DRIFT_SECONDS_MAX or not self._queue.has_own_clock:
            return
        began = self._monotonic()
        self._queue.renew(self.token, lease_seconds=self._lease_seconds)
        mine = self._own_row()
        if mine is not None:
            self._note_time(mine.lease_until - timedelta(seconds=self._lease_seconds))
            self._renewed(began)

    def _note_taken_over(self, ended: list[str]) -> None:
        for worker_id in ended:
            log.info("the lease of worker %s ran out: its sagas are due again", worker_id, extra=self._extra)

    @property
    def _extra(self) -> dict[str, str]:
        return {"worker": self.token.worker_id}

    def _own_row(self) -> WorkerRow | None:
        return next((row for row in self._queue.workers() if row.worker_id == self.token.worker_id), None)

    def _note_time(self, now: datetime) -> None:
        """Note the database's time, and when it was read: all at once, because other threads read it."""
        self._reading = now, self._monotonic(), self._wall()

    def _retire_the_gone(self) -> None:
        """End the leases of workers on this host whose process is gone: they need not run out first."""
        for worker in self._queue.workers():
            if worker.host == self._host and is_gone(worker.pid):
                self._queue.retire(FencingToken(worker.worker_id, worker.epoch))
                log.info(
                    "the process of worker %s is gone: its sagas are due again", worker.worker_id, extra=self._extra
                )

    def _take(self) -> None:
        """Take a lease; take another if this process was stopped meanwhile for so long that the first one ended."""
        for _ in range(TAKES_MAX):
            began = self._monotonic()
            self.token = self._queue.register(host=self._host, pid=os.getpid(), lease_seconds=self._lease_seconds)
            mine = self._own_row()
            if mine is not None:
                self.meta = Meta(worker=self.token.worker_id, epoch=self.token.epoch)
                self._note_time(mine.started_at)
                self._renewed(began)
                self._lost = False
                return
            self._queue.retire(self.token)
        raise Unavailable(
            f"a lease of {self._lease_seconds:g} s ended {TAKES_MAX} times before it could be used: "
            "set a longer `lease_seconds`"
        )

    def _renewed(self, began: float) -> None:
        self.renewed_at = began
        self._renew_at = began + self._lease_seconds / 3
        self._safe_until = began + self._lease_seconds * 2 / 3
