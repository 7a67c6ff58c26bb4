"""A subscription: one service follows the log from a position of its own, without a broker.

The service's events and its position commit together, so each event is handled exactly once, across crashes and with
two instances of one service. A reaction that fails becomes a dead letter, and the other processes go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ...domain.choreography.service import Service
from ..errors import OutcomeUnknown, PositionConflict
from ..event_store.append_call import AppendCall, CheckpointUpdate
from ..event_store.event_row import StoredRow
from ..ledger.context import LedgerContext
from ..ledger.transact import transact
from .dead_letter_queue import DEAD_LETTER_TOPICS
from .delivery import Delivery, ReactionBatch, consumer_of
from .process_log import ProcessLogReader

READ_EVENTS_MAX = 4_000


class Subscription:
    """Follows the log on behalf of one service. Belongs to one thread, as does `process_logs`."""

    def __init__(self, context: LedgerContext, service: Service, process_logs: ProcessLogReader | None = None) -> None:
        self.service = service
        self._context = context
        self._log = context.backend
        self._delivery = Delivery(context, service, process_logs or ProcessLogReader(context.backend))
        self._consumer = consumer_of(service.name)
        self._topics = (*service.topics, *DEAD_LETTER_TOPICS)
        self._position: int | None = None

    def step(self) -> int:
        """Handle the dead letters that are due, or else one batch of the log.

        Returns how many events the service moved on, 0 when it is idle at the head. Raises `Unavailable`,
        `OutcomeUnknown`, and `TooContended`.
        """
        if self._position is None:
            self._position = self._log.consumer_position(self._consumer)
            self._delivery.read_dead_letters()
        try:
            return self._delivery.redeliver() or self._follow(self._position)
        except PositionConflict:  # another instance of this service was faster
            self._forget()
            return 1
        except OutcomeUnknown:
            self._forget()
            raise

    def next_due(self) -> datetime | None:
        """Returns when the next dead letter is to be tried again without a person's decision; None if none is."""
        return self._delivery.next_due()

    def _follow(self, position: int) -> int:
        head = self._log.head().position
        if head <= position:
            return 0
        reached = position

        def decide(_: int) -> AppendCall:
            nonlocal reached
            rows = self._log.read(position, limit=READ_EVENTS_MAX, upto=head, topics=self._topics)
            batch, reached = self._plan(rows, rows[-1].position if len(rows) == READ_EVENTS_MAX else head)
            drafts = self._delivery.draft(batch.plans)
            if len(drafts) < len(batch.plans):
                reached = batch.plans[len(drafts)].row.position - 1
            return self._delivery.call_of(drafts, [CheckpointUpdate(self._consumer, position, reached)])

        what = f"the reactions of service {self.service.name!r}"
        transact(self._context, decide, what=what, append=self._delivery.append)
        self._position = reached
        return reached - position

    def _plan(self, rows: Sequence[StoredRow], upto: int) -> tuple[ReactionBatch, int]:
        """Plan reactions to events up to a position; returns the batch, and the position up to which it goes.

        A batch has one event of a process at most: the reaction to a second one needs the outcome of the first.
        """
        batch = ReactionBatch()
        processes: set[str | None] = set()
        for row in rows:
            if row.topic in DEAD_LETTER_TOPICS:
                self._delivery.read_dead_letter(row)
            elif row.correlation_id in processes or batch.is_full:
                return batch, row.position - 1
            elif (planned := self._delivery.plan(row)) is not None:
                processes.add(row.correlation_id)
                batch.add(planned)
        return batch, upto

    def _forget(self) -> None:
        """Begin again from the log: what was known of it here is in doubt."""
        self._position = None
        self._delivery.forget()
