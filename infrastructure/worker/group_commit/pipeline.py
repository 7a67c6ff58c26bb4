"""Sending batches: the log writes one while the next is drafted."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import TypeVar

from ...errors import NEEDS_A_PERSON, OutcomeUnknown, Unavailable
from ...event_store.event_log import EventLog
from ...runtime.clock import Clock
from ...runtime.outage_log import OutageLog
from ..coordination.lease import Lease
from ..pulse import Pulse
from .batch import BATCH_SAGAS_MAX, TransitionBatch
from .in_flight import InFlightBatch, TransitionOutcome
from .transition import Transition

BATCH_SAGAS_WHOLE = 32
"""A worker that holds more than twice as many sends them in halves: it drafts one while the log writes the other.

With 64 sagas held, halves end 1.37 times as many sagas a second; with 16, 0.92 times (docs/decisions/0009)."""
GO_ON_SECONDS_MAX = 1.0
"""After this long, block on the reply and stop renewing the lease: the connection may be dead, and others may have to
take over."""
RETRY_SECONDS_MIN = 0.01
RETRY_SECONDS_MAX = 1.0
ENGINE = "the engine"
"""What meets an outage of the database here, in the log."""

T = TypeVar("T")


class Pipeline:
    """The batch that was sent, and the one that is drafted meanwhile; never two transitions of one saga."""

    def __init__(self, log: EventLog, lease: Lease, clock: Clock, pulse: Pulse, outage: OutageLog) -> None:
        self._log = log
        self._outage = outage
        self._lease = lease
        self._clock = clock
        self._pulse = pulse
        self._sent: InFlightBatch | None = None
        self._sent_at = 0.0
        self.drafted = TransitionBatch()
        """The batch that is sent next; `send` begins another one."""
        self.giving_up = False
        """Whether to stop trying to append to a database that does not answer."""

    @property
    def under_way(self) -> bool:
        """Whether a transition is drafted or sent that is not settled."""
        return self._sent is not None or bool(self.drafted)

    @property
    def pending(self) -> int | None:
        """The file descriptor that becomes readable when the log answers; None if no answer is awaited."""
        return None if self._sent is None else self._sent.pending

    @property
    def seconds(self) -> float:
        """How long ago the last batch was sent."""
        return self._clock.monotonic() - self._sent_at

    @property
    def stream_ids(self) -> set[str]:
        """The participants' streams that either batch writes to."""
        return self.drafted.stream_ids.union(() if self._sent is None else self._sent.stream_ids)

    def room(self, held: int) -> int:
        """Returns how many more sagas may be drafted, in a worker that holds `held` sagas."""
        sagas = BATCH_SAGAS_MAX
        if self._log.writes_meanwhile:
            sagas = min(sagas, max(BATCH_SAGAS_WHOLE, held // 2))
        return 0 if self.drafted.is_full else max(0, sagas - len(self.drafted))

    def may_grow(self, held: int) -> bool:
        """Returns whether sagas may still join the drafted batch while the log writes, in a worker of `held` sagas."""
        if self._sent is None or held <= len(self._sent.transitions) + len(self.drafted):
            return False
        in_time = self._clock.monotonic() < self._sent_at + GO_ON_SECONDS_MAX
        return in_time and self.room(held) > 0 and self.pending is not None

    def free_of(self, sagas: Mapping[str, T]) -> Iterator[T]:
        """Returns those of these sagas of which nothing is drafted or sent."""
        drafted = self.drafted
        sent: Container[str] = () if self._sent is None else self._sent.saga_ids
        return (saga for saga_id, saga in sagas.items() if saga_id not in sent and saga_id not in drafted)

    def send(self) -> None:
        """Begin to append what is drafted; the batch before must be answered. Raises `SupersededWorker`."""
        if self.drafted:
            batch, self.drafted = self.drafted, TransitionBatch()
            self._sent_at = self._clock.monotonic()
            self._sent = InFlightBatch(self._log, self._lease.token, list(batch), batch.stream_ids)

    def receive(self) -> list[tuple[Transition, TransitionOutcome]]:
        """Wait for the log's answer, appending the same call again while it does not come.

        Returns the outcome of each transition; nothing if no batch was sent. Raises `SupersededWorker`,
        `errors.NEEDS_A_PERSON`, and `Unavailable` and `OutcomeUnknown` once it is giving up.
        """
        sent = self._sent
        if sent is None:
            return []
        wait_seconds = RETRY_SECONDS_MIN
        while True:
            try:
                outcomes = sent.outcomes()
            except (Unavailable, OutcomeUnknown) as error:
                if self.giving_up or isinstance(error, NEEDS_A_PERSON):
                    raise
                self._outage.note(ENGINE, error)
                self._pulse.wait(self._clock.monotonic(), error)
                self._clock.sleep(wait_seconds)
                wait_seconds = min(2 * wait_seconds, RETRY_SECONDS_MAX)
            else:
                self._outage.end(ENGINE)
                self._sent = None
                return outcomes

    def abandon(self) -> None:
        """Wait no longer for the batch that was sent."""
        if self._sent is not None:
            self._sent.abandon()
        self._sent = None

    def clear(self) -> None:
        """Forget both batches."""
        self.abandon()
        self.drafted = TransitionBatch()
