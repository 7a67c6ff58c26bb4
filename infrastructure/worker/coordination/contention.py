"""Other workers that decide on the same participants, so that each undoes the other's drafts.

Appends on the same streams follow one another, whoever sends them: of two workers that draft at the same time one has
drafted in vain, and both are slower than either alone. So the younger of them gives way: it hands back the sagas with
local steps that it has not begun to act for, and leaves such sagas to the older one for a while. Steps that call out
are no matter, and conflicts now and then cost less than this would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ...event_store.append_call import Conflict
from ...event_store.codec import Codec, UnreadableEvent
from ...event_store.event_log import EventLog
from .lease import Lease

CONFLICTS_SHARE: Final = 0.1
"""Of a batch: fewer are decided again where they are."""
CONFLICTS_MIN: Final = 8
GIVE_WAY_SECONDS: Final = 1.0


class Contention:
    """Whether this worker gives way to an older one."""

    def __init__(self, log: EventLog, codec: Codec, lease: Lease, monotonic: Callable[[], float]) -> None:
        self._log = log
        self._codec = codec
        self._lease = lease
        self._monotonic = monotonic
        self._contested: Conflict | None = None
        self._until = 0.0

    @property
    def first(self) -> bool:
        """Whether they go first, with the sagas that have local steps."""
        return self._monotonic() < self._until

    def note(self, conflicts: Sequence[Conflict], transitions: int) -> None:
        """Which of a batch's transitions were not written because others wrote to their participants before."""
        many = len(conflicts) >= max(CONFLICTS_MIN, CONFLICTS_SHARE * transitions)
        self._contested = conflicts[0] if many else None

    def met(self) -> bool:
        """Whether the last batch was contested, and by an older worker: then they go first. Raises `Unavailable`."""
        contested, self._contested = self._contested, None
        if contested is None or not self._is_older(contested):
            return False
        self._until = self._monotonic() + GIVE_WAY_SECONDS
        return True

    def _is_older(self, contested: Conflict) -> bool:
        """Whether what stands where this worker wanted to write is of one that has its lease for longer."""
        expected = contested.expected_version
        try:
            written = [
                self._codec.decode(row)
                for row in self._log.stream(contested.stream_id, after=expected, upto=expected + 1)
            ]
        except UnreadableEvent:
            return False
        return any(by.meta.epoch is not None and by.meta.epoch < self._lease.epoch.epoch for by in written)
