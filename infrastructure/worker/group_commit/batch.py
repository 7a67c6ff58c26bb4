"""The transitions of many sagas that go into one append call, and how much one call may carry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .transition import Transition

BATCH_SAGAS_MAX = 500
BATCH_EVENTS_MAX = 4_000
BATCH_BYTES_MAX = 8 * 1024 * 1024


class TransitionBatch:
    """Transitions that are drafted and not sent: at most one of each saga, in the order in which they were drafted."""

    def __init__(self) -> None:
        self._transitions: dict[str, Transition] = {}
        self.stream_ids: set[str] = set()
        """The participants' streams that they write to."""
        self._events = 0
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._transitions)

    def __iter__(self) -> Iterator[Transition]:
        return iter(self._transitions.values())

    def __contains__(self, saga_id: object) -> bool:
        return saga_id in self._transitions

    def of(self, saga_ids: Iterable[str]) -> list[Transition]:
        """Returns the transitions of these sagas, of those that have one."""
        return [self._transitions[saga_id] for saga_id in saga_ids if saga_id in self._transitions]

    @property
    def is_full(self) -> bool:
        """Whether it carries as much as it may; the last transition may exceed that."""
        return self._events >= BATCH_EVENTS_MAX or self._size_bytes >= BATCH_BYTES_MAX

    def add(self, transition: Transition) -> None:
        """Send a transition after those that are here already."""
        self._transitions[transition.saga.saga_id] = transition
        self._events += len(transition.draft.events)
        self._size_bytes += transition.draft.size_bytes

    def withdraw(self, unwritten: Iterable[Transition]) -> list[Transition]:
        """Remove and return the transitions that cannot be written when these are not.

        These are the given ones, and all that share a participant's stream with a removed one: they were decided on
        events that will not exist, and the log would not notice where another process wrote at the same version.
        """
        saga_ids: set[str] = set()
        stream_ids: set[str] = set()
        for transition in unwritten:
            saga_ids.add(transition.saga.saga_id)
            stream_ids.update(transition.draft.overlay)
        withdrawn: list[Transition] = []
        more = True
        while more:
            more = False
            for saga_id, transition in list(self._transitions.items()):
                if saga_id in saga_ids or not stream_ids.isdisjoint(transition.draft.overlay):
                    stream_ids.update(transition.draft.overlay)
                    withdrawn.append(self._transitions.pop(saga_id))
                    self._events -= len(transition.draft.events)
                    self._size_bytes -= transition.draft.size_bytes
                    more = True
        self.stream_ids -= stream_ids
        return withdrawn
