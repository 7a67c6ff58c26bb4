"""Two batches one behind the other: the log writes one, while the next is drafted."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator, Mapping
from typing import TypeVar
from uuid import uuid4

from ...errors import OutcomeUnknown, Unavailable
from ...event_store.append_call import AppendOutcome
from ...event_store.event_log import EventLog
from ...runtime.clock import Clock
from ..coordination.lease import Lease
from .batch import BATCH_SAGAS_MAX, TransitionBatch
from .in_flight import InFlightBatch
from .transition import Transition

log = logging.getLogger(__name__)

BATCH_SAGAS_WHOLE = 32
"""More than twice that are sent in halves of all that are held: one is drafted while the log writes the other."""
GO_ON_SECONDS_MAX = 1.0
"""A longer wait for an answer is a wait for nothing else: others can take over what a dead connection holds up."""
RETRY_SECONDS_MIN = 0.01
RETRY_SECONDS_MAX = 1.0

T = TypeVar("T")


class Pipeline:
    """A batch that is sent, and the one that goes out when that is answered. Never two transitions of one saga."""

    def __init__(self, log: EventLog, lease: Lease, clock: Clock) -> None:
        self._log = log
        self._lease = lease
        self._clock = clock
        self._sent: InFlightBatch | None = None
        self._sent_at = 0.0
        self._next_id = uuid4()
        """The next call's: it is drawn while a server writes the one before."""
        self.drafted = TransitionBatch()
        self.giving_up = False
        """Stop trying to append to a database that does not answer."""

    @property
    def under_way(self) -> bool:
        """Whether something is drafted or sent that is not settled."""
        return self._sent is not None or bool(self.drafted)

    @property
    def pending(self) -> int | None:
        """The file descriptor that becomes readable when the log answers what was sent; None if nothing is awaited."""
        return None if self._sent is None else self._sent.pending

    @property
    def stream_ids(self) -> set[str]:
        """The participants' streams that both batches write to."""
        return self.drafted.stream_ids.union(() if self._sent is None else self._sent.stream_ids)

    def room(self, held: int) -> int:
        """How many more sagas may be drafted into the batch, of a worker that holds so many."""
        sagas = BATCH_SAGAS_MAX
        if self._log.writes_meanwhile:
            sagas = min(sagas, max(BATCH_SAGAS_WHOLE, held // 2))
        return 0 if self.drafted.spent else max(0, sagas - len(self.drafted))

    def may_grow(self, held: int) -> bool:
        """Whether the log has not answered, and of so many sagas others may be drafted before it does."""
        if self._sent is None or held <= len(self._sent.batch) + len(self.drafted):
            return False
        in_time = self._clock.monotonic() < self._sent_at + GO_ON_SECONDS_MAX
        return in_time and self.room(held) > 0 and self.pending is not None

    def beside(self, sagas: Mapping[str, T]) -> Iterator[T]:
        """Of these sagas, by their ids, those of which nothing is drafted or sent."""
        drafted = self.drafted.transitions
        sent: Container[str] = () if self._sent is None else self._sent.saga_ids
        return (saga for saga_id, saga in sagas.items() if saga_id not in sent and saga_id not in drafted)

    def send(self) -> None:
        """Begin to append what is drafted; what was sent before must be answered. Raises `SupersededWorker`."""
        if self.drafted:
            batch, self.drafted = self.drafted, TransitionBatch()
            self._sent_at = self._clock.monotonic()
            transitions = list(batch.transitions.values())
            self._sent = InFlightBatch(self._log, self._next_id, self._lease.epoch, transitions, batch.stream_ids)
            self._next_id = uuid4()

    def receive(self) -> list[tuple[Transition, AppendOutcome]]:
        """Wait until it is known what became of what was sent; the same call again is harmless.

        Raises `SupersededWorker`, and `Unavailable` and `OutcomeUnknown` when it is giving up.
        """
        sent = self._sent
        if sent is None:
            return []
        wait_seconds = RETRY_SECONDS_MIN
        while True:
            try:
                outcomes = sent.receipt().outcomes
            except (Unavailable, OutcomeUnknown) as error:
                if self.giving_up:
                    raise
                log.warning("%s (trying again)", error)
                self._clock.sleep(wait_seconds)
                wait_seconds = min(2 * wait_seconds, RETRY_SECONDS_MAX)
            else:
                self._sent = None
                return list(zip(sent.batch, outcomes, strict=True))

    def abandon(self) -> None:
        """Wait no longer for what was sent."""
        if self._sent is not None:
            self._sent.abandon()
        self._sent = None

    def empty(self) -> None:
        """Forget both batches."""
        self.abandon()
        self.drafted = TransitionBatch()
