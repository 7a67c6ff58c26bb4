"""Sagas that this worker cannot read, and puts back into the work queue for workers that can.

A worker that is too old to read an event must neither decide on the saga nor keep it. Such a saga is due again after a
while, to any worker. Each time it comes back to this one, it waits longer.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final
from uuid import uuid4

from ...event_store.append_call import Append, AppendCall
from ...event_store.event_log import EventLog
from ...event_store.work_queue import QueueEntry
from ...ledger.put_back_sagas import PUT_BACK_SECONDS_MAX
from .lease import Lease

log = logging.getLogger(__name__)

PUT_BACK_SECONDS_MIN: Final = 1.0
REMEMBERED_MAX: Final = 10_000


class PutBacks:
    """The sagas to put back, and how often each came back unreadable."""

    def __init__(self, queue: EventLog, lease: Lease) -> None:
        self._log = queue
        self._lease = lease
        self._waiting: dict[str, QueueEntry] = {}
        self._delays: dict[str, float] = {}

    def add(self, saga_id: str, definition: str, version: int, why: object) -> None:
        """Put a saga back at the next `flush`."""
        seconds = self._delays.get(saga_id)
        if seconds is None:
            log.error(
                "saga %s is left to other workers, because this one cannot read it: %s (if no worker can read it, "
                "register the types that do, or run `sagaledger verify`)",
                saga_id,
                why,
                extra={"saga_id": saga_id, "definition": definition, "worker": self.worker_id},
            )
        self._delays.pop(saga_id, None)  # the latest stand last
        self._delays[saga_id] = min(2 * (seconds or PUT_BACK_SECONDS_MIN / 2), PUT_BACK_SECONDS_MAX)
        if len(self._delays) > REMEMBERED_MAX:
            del self._delays[next(iter(self._delays))]
        due_at = self._lease.now() + timedelta(seconds=self._delays[saga_id])
        self._waiting[saga_id] = QueueEntry(saga_id, definition, version, due_at, None)

    def flush(self) -> None:
        """Put back what was added. Raises `Unavailable` and `OutcomeUnknown`, and then the next call does it."""
        if self._waiting:
            entries = list(self._waiting.values())
            self._log.append(AppendCall(uuid4(), [Append([], entry) for entry in entries], self._lease.token))
            self._waiting.clear()

    @property
    def worker_id(self) -> str:
        """The id of the worker under its present lease."""
        return self._lease.token.worker_id

    def readable(self, saga_id: str) -> None:
        """Note that a saga could be read."""
        self._delays.pop(saga_id, None)

    def clear(self) -> None:
        """Put nothing back: the lease that held these sagas was lost."""
        self._waiting.clear()
