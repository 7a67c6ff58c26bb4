"""Contention: other workers that decide on the same participants.

Appends to one stream follow one another, whichever worker sends them. When two workers draft for the same stream at
the same time, one has drafted in vain, and both are slower than either alone. So the younger worker gives way: it hands
back the sagas with local steps that it has not begun to act for, and leaves such sagas to the older one for a while.
Steps that call out write to no participant, and a few conflicts cost less than giving way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ...event_store.append_call import Conflict
from ...event_store.codec import Codec, UnreadableEvent
from ...event_store.event_log import EventLog
from .lease import Lease

CONFLICTS_SHARE: Final = 0.1
"""The share of a batch that has to conflict before a worker gives way."""
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
    def gives_way(self) -> bool:
        """Whether this worker leaves sagas with local steps to others at present."""
        return self._monotonic() < self._until

    def note_conflicts(self, conflicts: Sequence[Conflict], transitions: int) -> None:
        """Note the conflicts on participants' streams in a batch of so many transitions."""
        many = len(conflicts) >= max(CONFLICTS_MIN, CONFLICTS_SHARE * transitions)
        self._contested = conflicts[0] if many else None

    def give_way(self) -> bool:
        """Begin to give way if an older worker contested the last batch; returns whether it did.

        Raises `Unavailable`.
        """
        contested, self._contested = self._contested, None
        if contested is None or not self._is_by_an_older(contested):
            return False
        self._until = self._monotonic() + GIVE_WAY_SECONDS
        return True

    def _is_by_an_older(self, conflict: Conflict) -> bool:
        """Whether the event that stands where this worker wanted to write is by a worker with an earlier lease."""
        expected = conflict.expected_version
        try:
            written = [
                self._codec.decode(row)
                for row in self._log.stream(conflict.stream_id, after=expected, upto=expected + 1)
            ]
        except UnreadableEvent:
            return False
        return any(by.meta.epoch is not None and by.meta.epoch < self._lease.token.epoch for by in written)
