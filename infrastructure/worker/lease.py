"""A worker's lease: what it writes counts only while it holds."""

from __future__ import annotations

import os
import socket
from time import monotonic

from ...domain.recorded import Meta
from ..log.port import Epoch, WorkQueue


class Lease:
    """A lease, renewed when a third of it has passed. Time is measured by a clock that nobody can set."""

    def __init__(self, queue: WorkQueue, lease_seconds: float) -> None:
        self._queue = queue
        self._lease_seconds = lease_seconds
        self._safe_until = 0.0
        self.renew_at = 0.0
        self.take()

    def take(self) -> None:
        """Take a new lease, with an epoch above every earlier one."""
        began = monotonic()
        self.epoch: Epoch = self._queue.register(
            host=socket.gethostname(), pid=os.getpid(), lease_seconds=self._lease_seconds
        )
        self.meta = Meta(worker=self.epoch.worker_id, epoch=self.epoch.epoch)
        self._renewed(began)

    def renew(self) -> None:
        """Extend it if it is time to. Raises `SupersededWorker` if it was taken over."""
        began = monotonic()
        if began >= self.renew_at:
            self._queue.renew(self.epoch, lease_seconds=self._lease_seconds)
            self._renewed(began)

    def confirm(self) -> None:
        """Make sure that it still holds for a while, before something is begun under it."""
        if monotonic() >= self._safe_until:
            self.renew_at = 0.0
            self.renew()

    def retire(self) -> None:
        """Give it up, and everything held under it."""
        self._queue.retire(self.epoch)

    def _renewed(self, began: float) -> None:
        self.renew_at = began + self._lease_seconds / 3
        self._safe_until = began + self._lease_seconds * 2 / 3
