"""The sagas that one worker holds: which of them are ready, when the others wake, and how many more fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Raw

from ...domain.recorded_event import RecordedEvent
from ...domain.saga.decision import Attempt
from ...domain.saga.definition import Definition
from ...domain.saga.evolve import fold_all
from ...domain.saga.outcome import AttemptOutcome
from ...domain.saga.state import SagaState
from ..event_store.codec import UnreadableEvent
from ..event_store.event_row import STATE_BYTES_MAX
from ..ledger.saga_start import SagaStart
from ..runtime.observer import SagaTrace
from .timers import Timers

HELD_BYTES_MAX = 128 * 1024 * 1024
"""The most bytes of inputs and results that held sagas keep in memory; the next result of each has to fit as well."""
ROOM_KEPT_SHARE = 10
"""One part in so many stays free of starts made through this worker: sagas started elsewhere get a turn, too."""


class HeldSaga:
    """A saga that this worker holds."""

    __slots__ = (
        "children",
        "definition",
        "fault",
        "lost",
        "outcomes",
        "position",
        "previous_worker",
        "reports",
        "saga_id",
        "saga_start",
        "size_bytes",
        "state",
        "trace",
        "unread",
    )

    def __init__(
        self,
        saga_id: str,
        definition: Definition,
        state: SagaState,
        position: int | None,
        previous_worker: str | None = None,
    ) -> None:
        self.saga_id = saga_id
        self.definition = definition
        self.state = state
        self.position = position
        """The log position of the saga's latest event; its next events record this one as their cause."""
        self.saga_start: SagaStart | None = None
        """How to start the saga; None once its start is durable."""
        self.outcomes: list[tuple[Attempt, AttemptOutcome]] = []
        """Outcomes of attempts that are not recorded yet."""
        self.reports: Mapping[Attempt, Raw] | None = None
        """What running attempts told of their progress that is not recorded yet; None, as mostly: nothing."""
        self.lost = bool(state.in_flight)
        """Whether it was taken over with attempts in flight whose worker is gone."""
        self.fault: Exception | None = None
        """Why the saga cannot be decided on or written: its next transition only asks for a person."""
        self.unread: UnreadableEvent | None = None
        """Which event of a participant keeps this worker from deciding: it records outcomes, and then puts it back."""
        self.previous_worker = previous_worker
        self.size_bytes = state.size_bytes
        """How much memory the values of users took when this worker took the saga."""
        self.children: frozenset[str] = frozenset()
        """The sub-sagas that are known to exist."""
        self.trace: SagaTrace | None = None
        """The trace that it belongs to, or what an observer knows of it."""

    def fold(self, recorded: Sequence[RecordedEvent]) -> None:
        """Fold events that others recorded for this saga."""
        if recorded:
            self.state = fold_all(self.state, (one.event for one in recorded))
            self.position = recorded[-1].position
            if self.trace is not None:
                self.trace.read(recorded)


class HeldSagas:
    """The sagas of one worker, by id; `timers` has those that wake at an instant."""

    def __init__(self, concurrency: int, timers: Timers) -> None:
        self._concurrency = concurrency
        self._timers = timers
        self._sagas: dict[str, HeldSaga] = {}
        self._ready: dict[str, HeldSaga] = {}
        self._disputed: set[str] = set()
        self._size_bytes = 0
        self.draining = False
        """Whether the worker begins nothing new: it records outcomes, and no attempt follows from them here."""

    def __len__(self) -> int:
        return len(self._sagas)

    def __contains__(self, saga_id: object) -> bool:
        return saga_id in self._sagas

    def __iter__(self) -> Iterator[HeldSaga]:
        return iter(self._sagas.values())

    def get(self, saga_id: str) -> HeldSaga | None:
        """Returns the saga, if it is held."""
        return self._sagas.get(saga_id)

    def adopt(self, saga: HeldSaga) -> None:
        """Hold a saga in place of what was known of it, and decide what it does next."""
        self.release(saga.saga_id)
        self._size_bytes += saga.size_bytes
        self._sagas[saga.saga_id] = self._ready[saga.saga_id] = saga

    def release(self, saga_id: str) -> None:
        """Hold a saga no longer."""
        saga = self._sagas.pop(saga_id, None)
        self._size_bytes -= 0 if saga is None else saga.size_bytes
        self._ready.pop(saga_id, None)
        self._timers.set(saga_id, None)

    def clear(self) -> None:
        """Hold nothing any longer: other workers go on with everything."""
        self._sagas.clear()
        self._ready.clear()
        self._disputed.clear()
        self._timers.clear()
        self._size_bytes = 0

    # What has to be decided, and when

    @property
    def ready(self) -> Mapping[str, HeldSaga]:
        """The sagas for which the next transition has to be decided, by id."""
        return self._ready

    def wake(self, saga_id: str) -> None:
        """Decide on a saga again, if it is held."""
        saga = self._sagas.get(saga_id)
        if saga is not None:
            self._ready[saga_id] = saga

    def wake_at(self, saga_id: str, at: datetime | None) -> None:
        """Decide on a saga again at an instant; None: no instant wakes it."""
        self._timers.set(saga_id, at)

    def mark_decided(self, saga_id: str) -> None:
        """A transition was decided for a saga: it is not ready any longer."""
        self._ready.pop(saga_id, None)

    # Sagas that another worker drives as well

    @property
    def any_disputed(self) -> bool:
        """Whether another worker wrote to a saga that is held here."""
        return bool(self._disputed)

    def dispute(self, saga_id: str) -> None:
        """Note that another worker drives a saga as well: the work queue has to decide the owner."""
        self._disputed.add(saga_id)

    def take_disputed(self) -> set[str]:
        """Returns the disputed sagas, once."""
        disputed, self._disputed = self._disputed, set()
        return disputed

    def room(self, *, for_starts: bool = False) -> int:
        """Returns how many more sagas fit, by count and by bytes; starts may not use all of it."""
        if self.draining:
            return 0
        sagas, size_bytes = self._concurrency, HELD_BYTES_MAX
        if for_starts:
            sagas -= sagas // ROOM_KEPT_SHARE
            size_bytes -= size_bytes // ROOM_KEPT_SHARE
        fitting = (size_bytes - self._size_bytes) // STATE_BYTES_MAX
        return max(0, min(sagas - len(self._sagas), fitting))
