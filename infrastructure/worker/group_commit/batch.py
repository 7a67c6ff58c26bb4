"""Transitions of many sagas that go into one append call, and how much one call may carry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .transition import Transition

BATCH_SAGAS_MAX = 500
BATCH_EVENTS_MAX = 4_000
BATCH_BYTES_MAX = 8 * 1024 * 1024


class TransitionBatch:
    """What is drafted and not sent: one transition of each saga, in order."""

    def __init__(self) -> None:
        self.transitions: dict[str, Transition] = {}
        """By their sagas."""
        self.stream_ids: set[str] = set()
        """The participants' streams that they write to."""
        self._events = 0
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self.transitions)

    @property
    def spent(self) -> bool:
        """Whether it carries as much as it may; the last one in may exceed that."""
        return self._events >= BATCH_EVENTS_MAX or self._size_bytes >= BATCH_BYTES_MAX

    def add(self, transition: Transition) -> None:
        """Send it with those before."""
        self.transitions[transition.execution.saga_id] = transition
        self._events += len(transition.draft.events)
        self._size_bytes += transition.draft.size_bytes

    def withdraw(self, unwritten: Iterable[Transition]) -> Sequence[Transition]:
        """Take out, and give, those that are not to be written, and all that have a stream in common with one of them.

        Whatever rests on an event that is not written is untrue, and the log would not notice: where that was to stand
        there is somebody else's now. And what is drafted next on such a stream must find nothing of it here.
        """
        saga_ids: set[str] = set()
        stream_ids: set[str] = set()
        for transition in unwritten:
            saga_ids.add(transition.execution.saga_id)
            stream_ids.update(transition.draft.overlay)
        withdrawn: list[Transition] = []
        more = True
        while more:
            more = False
            for saga_id, transition in list(self.transitions.items()):
                if saga_id in saga_ids or not stream_ids.isdisjoint(transition.draft.overlay):
                    stream_ids.update(transition.draft.overlay)
                    withdrawn.append(self.transitions.pop(saga_id))
                    self._events -= len(transition.draft.events)
                    self._size_bytes -= transition.draft.size_bytes
                    more = True
        self.stream_ids -= stream_ids
        return withdrawn
