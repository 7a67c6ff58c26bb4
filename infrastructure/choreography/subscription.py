"""A follower: one service on the bus that is the log itself, from its own position.

Its reactions, their events and its position commit together, so each event is handled exactly once, across crashes
and with two instances of one service. A reaction that fails becomes a letter, and the others go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ...domain.choreography.service import Service
from ..errors import OutcomeUnknown, PositionConflict
from ..event_store.append_call import AppendCall, CheckpointUpdate
from ..event_store.event_row import StoredRow
from ..ledger.context import LedgerContext
from ..ledger.stream_cache import AppendBuilder
from ..ledger.transact import transact
from .dead_letter_queue import DEAD_LETTER_TOPICS
from .delivery import BATCH_COMMANDS_MAX, BATCH_REACTIONS_MAX, Delivery, consumer_of
from .event_handler import PlannedReaction
from .process_log import ProcessLogReader

READ_EVENTS_MAX = 4_000


class Subscription:
    """Follows the log on behalf of one service. Belongs to one thread."""

    def __init__(self, context: LedgerContext, service: Service, process_logs: ProcessLogReader | None = None) -> None:
        self.service = service
        self._delivery = Delivery(context, service, process_logs)
        self._context = context
        self._log = context.backend
        self._consumer = consumer_of(service.name)
        self._topics = (*service.topics, *DEAD_LETTER_TOPICS)
        self._position: int | None = None

    def step(self) -> int:
        """Handle the letters that are due, or one batch of the log; gives how many events that was, 0 at the head.

        Raises `Unavailable`.
        """
        if self._position is None:
            self._position = self._log.consumer_position(self._consumer)
            self._delivery.open()
        try:
            return self._delivery.redeliver() or self._follow(self._position)
        except PositionConflict:  # another instance of this service was faster
            self._forget()
            return 1
        except OutcomeUnknown:
            self._forget()
            raise

    def next_due(self) -> datetime | None:
        """When the next letter is to be tried again by itself."""
        return self._delivery.letters.next_due()

    def _follow(self, position: int) -> int:
        head = self._log.head().position
        if head <= position:
            return 0
        reached = position

        def decide(_: int) -> AppendCall:
            nonlocal reached
            rows = self._log.read(position, limit=READ_EVENTS_MAX, upto=head, topics=self._topics)
            upto = rows[-1].position if len(rows) == READ_EVENTS_MAX else head
            drafts, reached = self._batch(rows, upto)
            return self._delivery.call_of(drafts, [CheckpointUpdate(self._consumer, position, reached)])

        what = f"what service {self.service.name!r} did"
        transact(self._context, decide, what=what, append=self._delivery.append)
        self._position = reached
        return reached - position

    def _batch(self, rows: Sequence[StoredRow], upto: int) -> tuple[list[AppendBuilder], int]:
        """Drafts for the events up to a position, which may come before the one given."""
        plans, upto = self._plans(rows, upto)
        drafts = self._delivery.handling.draft(plans, datetime.now(UTC))
        if len(drafts) < len(plans):
            upto = plans[len(drafts)].row.position - 1
        return drafts, upto

    def _plans(self, rows: Sequence[StoredRow], upto: int) -> tuple[list[PlannedReaction], int]:
        """Reactions to the events up to a position: each process once, so that none rests on another undecided one."""
        plans: list[PlannedReaction] = []
        seen: set[str] = set()
        commands = 0
        for row in rows:
            if row.topic in DEAD_LETTER_TOPICS:
                self._delivery.read_letter(row)
                continue
            if row.correlation_id is None or self._delivery.handling.response_to(row) is None:
                continue
            if row.correlation_id in seen or len(plans) == BATCH_REACTIONS_MAX or commands >= BATCH_COMMANDS_MAX:
                return plans, row.position - 1
            planned = self._delivery.plan(row, row.correlation_id)
            if planned is not None:
                seen.add(row.correlation_id)
                commands += len(planned.commands)
                plans.append(planned)
        return plans, upto

    def _forget(self) -> None:
        """Read everything again: what was believed of the log is in doubt."""
        self._position = None
        self._delivery.handling.stream_cache.evict_all()
