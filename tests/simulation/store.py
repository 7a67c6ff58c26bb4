"""The memory backend under a simulated clock, which remembers what the invariants ask about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sagaledger.infrastructure.event_store.append_call import AppendCall, Conflict, Receipt
from sagaledger.infrastructure.event_store.work_queue import FencingToken

from ..memory_backend.backend import MemoryBackend


class OutdatedExpectation(NamedTuple):
    """A worker's belief that a stream ends at a version, beyond which it has grown."""

    worker_id: str
    stream_id: str
    expected_version: int


class SimulatedBackend(MemoryBackend):
    """A ledger in memory whose time is the simulation's."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__(now)
        self.outdated: defaultdict[OutdatedExpectation, set[UUID]] = defaultdict(set)
        """The appends that conflicted because of each."""
        self.lost_entries: set[str] = set()
        """The sagas whose queue entry was deleted by hand."""
        self.lease_ended: list[Callable[[FencingToken], None]] = []
        """Called with each lease when it ends, before anything else happens."""

    def append(self, call: AppendCall) -> Receipt:
        receipt = super().append(call)
        for outcome in receipt.outcomes:
            if call.token and isinstance(outcome, Conflict) and outcome.actual_version > outcome.expected_version:
                belief = OutdatedExpectation(call.token.worker_id, outcome.stream_id, outcome.expected_version)
                self.outdated[belief].add(call.append_id)
        return receipt

    def wait_beyond(self, position: int, timeout_seconds: float) -> int:  # noqa: ARG002  # no other thread appends
        return self._head.position

    def lasts(self, worker_id: str) -> bool:
        """Return whether a worker's lease has time left, so that no other worker can have ended it."""
        lease = self._leases.get(worker_id)
        return lease is not None and self._now() <= lease.lease_until

    def held_by(self, worker_id: str) -> set[str]:
        """Return the sagas that the queue says a worker holds."""
        return {entry.saga_id for entry in self._held_by(worker_id)}

    def lose_entry(self, saga_id: str) -> None:
        """Delete a queue entry, as a person might by hand."""
        self._entries.pop(saga_id, None)
        self.lost_entries.add(saga_id)

    def _end_lease(self, token: FencingToken) -> None:
        for call in self.lease_ended:
            call(token)
        super()._end_lease(token)
