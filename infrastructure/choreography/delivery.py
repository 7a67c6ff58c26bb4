"""Delivery: from the events that reach a service to the append that holds what it did about them.

A `Subscription` delivers events from the log, a `NatsInbox` those that a broker announces. Each brings the checkpoints
that prove that an event was delivered once; they commit together with the service's own events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from ...domain.choreography.service import Service
from ..errors import OutcomeUnknown, PositionConflict
from ..event_store.append_call import Append, AppendCall, Appended, CheckpointUpdate, Receipt
from ..event_store.event_row import StoredRow
from ..ledger.append_builder import AppendBuilder
from ..ledger.context import LedgerContext
from ..ledger.observing import observed
from ..ledger.stream_cache import StreamCache
from ..ledger.transact import call_of, is_written
from .dead_letter_queue import DEAD_LETTER_TOPICS, DeadLetterQueue
from .event_handler import EventHandler, PlannedReaction
from .process_log import ProcessLog, ProcessLogReader

BATCH_REACTIONS_MAX = 500
BATCH_COMMANDS_MAX = 5_000
"""A batch ends with the reaction that reaches this many commands; one reaction has a few hundred at most."""
REPLIES_LOST_MAX = 5


def consumer_of(service: str) -> str:
    """The name under which the log keeps a service's position: the service has handled every event up to there."""
    return f"service:{service}"


class ReactionBatch:
    """Planned reactions for one append, up to its limits."""

    def __init__(self) -> None:
        self.plans: list[PlannedReaction] = []
        self._commands = 0

    @property
    def is_full(self) -> bool:
        """Whether the batch has reached one of its limits."""
        return len(self.plans) >= BATCH_REACTIONS_MAX or self._commands >= BATCH_COMMANDS_MAX

    def add(self, planned: PlannedReaction) -> None:
        """Add a reaction."""
        self.plans.append(planned)
        self._commands += len(planned.commands)


class Delivery:
    """Delivers events to one service: plans its reactions, drafts and appends them. Belongs to one thread.

    It keeps the service's dead letters, so that the events of each process are handled in order: while one waits,
    later ones of its process wait as well.
    """

    def __init__(self, context: LedgerContext, service: Service, process_logs: ProcessLogReader) -> None:
        self._log = context.backend
        self._write = (
            context.backend.append if context.observer is None else observed(context.observer, context.backend)
        )
        self._codec = context.codec
        self._clock = context.clock
        self._dead_letters = DeadLetterQueue(service.name, context.backend, context.codec)
        self._stream_cache = StreamCache(context.app, context.backend, context.codec)
        self._handler = EventHandler(context, service, self._stream_cache, process_logs)

    def announce(self, traceparents: Mapping[int, str]) -> None:
        """Learn the trace contexts of the messages that announced events, by position; those before are forgotten."""
        self._handler.announced = dict(traceparents)

    # From an event to an append

    def concerns(self, row: StoredRow) -> bool:
        """Whether the service reacts to an event; True as well for an unreadable event of a type it reacts to."""
        return self._handler.concerns(row)

    def plan(self, row: StoredRow, process_log: ProcessLog | None = None) -> PlannedReaction | None:
        """Returns the service's reaction to an event, which may be to wait for an earlier event of the process.

        Returns None if the event does not concern the service, or was handled before. Raises `Unavailable`.
        """
        blocker = None if row.correlation_id is None else self._dead_letters.first_waiting(row.correlation_id)
        if blocker is None:
            return self._handler.plan(row, process_log)
        return PlannedReaction(row, blocker=blocker) if self._handler.concerns(row) else None

    def draft(self, plans: Sequence[PlannedReaction]) -> list[AppendBuilder]:
        """Decide the first plans, and at least one; the plans after them need these to be appended before.

        Returns one draft for each plan that was decided, in order. Raises `Unavailable`.
        """
        now = self._clock.now()
        while True:
            built = dict(self._stream_cache.build([partial(self._draft, planned, now) for planned in plans]))
            left_out = next((at for at, planned in enumerate(plans) if planned.row.position not in built), None)
            if left_out is None:
                return [built[planned.row.position] for planned in plans]
            # The cache holds drafts of plans beyond that one. The next round has fewer plans; a single plan is never
            # left out, since it waits for no other.
            self._stream_cache.evict_all()
            plans = plans[: left_out or 1]

    def call_of(self, drafts: Sequence[AppendBuilder], checkpoints: Sequence[CheckpointUpdate]) -> AppendCall:
        """Returns the append call that commits drafts together with checkpoints, whole or not at all."""
        events = [new for draft in drafts for new in draft.events]
        return call_of([Append(events)] if events else [], checkpoints)

    def append(self, call: AppendCall) -> Receipt:
        """Append a call, and learn what its events say of dead letters; nothing is written if a stream had moved on.

        Raises `PositionConflict` when another instance of the service was faster, `Unavailable`, and `OutcomeUnknown`.
        """
        receipt = self._append(call)
        if not is_written(receipt):
            self._stream_cache.evict_all()
            return receipt
        for append, outcome in zip(call.appends, receipt.outcomes, strict=True):
            assert isinstance(outcome, Appended)  # noqa: S101 -- every append was written
            for position, new in enumerate(append.events, outcome.first_position):
                if new.topic in DEAD_LETTER_TOPICS:
                    self.read_dead_letter(new.stored(position, receipt.recorded_at))
        if receipt.outcomes:
            self._stream_cache.confirm_staged()
            self._stream_cache.trim()
            self._stream_cache.snapshot()
        return receipt

    def commit(self, drafts: Sequence[AppendBuilder], checkpoints: Sequence[CheckpointUpdate]) -> bool:
        """Append drafts together with checkpoints; returns False, with nothing written, if a stream had moved on.

        Raises what `append` raises.
        """
        return is_written(self.append(self.call_of(drafts, checkpoints)))

    def forget(self) -> None:
        """Read everything from the log again when it is needed: what is known of it here is in doubt."""
        self._stream_cache.evict_all()
        self._dead_letters.clear()

    # Dead letters

    def read_dead_letters(self) -> None:
        """Learn what the log recorded of dead letters since, such as a person's decision. Raises `Unavailable`."""
        self._dead_letters.read()

    def read_dead_letter(self, row: StoredRow) -> None:
        """Learn what one event of the log says of a dead letter."""
        self._dead_letters.fold(self._codec.decode(row))

    def redeliver(self) -> int:
        """Try the dead letters that are due; returns how many. Raises what `append` raises."""
        due = self._dead_letters.due(self._clock.now())[:BATCH_REACTIONS_MAX]
        for position in due:
            [row] = self._log.read(position - 1, limit=1, upto=position)
            planned = self._handler.plan(row, is_dead_letter=True) or PlannedReaction(row, is_dead_letter=True)
            if not self.commit(self.draft([planned]), []):  # another instance of the service was faster
                self.forget()
                self.read_dead_letters()
                return 1
        return len(due)

    def next_due(self) -> datetime | None:
        """Returns when the next dead letter is to be tried again without a person's decision; None if none is."""
        return self._dead_letters.next_due()

    def _draft(self, planned: PlannedReaction, now: datetime) -> tuple[int, AppendBuilder]:
        draft = self._handler.draft(planned, now)
        self._stream_cache.stage(draft.overlay)
        return planned.row.position, draft

    def _append(self, call: AppendCall) -> Receipt:
        """Append; after a lost reply, ask again under the same append id."""
        for lost in range(1, REPLIES_LOST_MAX + 1):
            try:
                return self._write(call)
            except PositionConflict:
                self._stream_cache.evict_all()
                raise
            except OutcomeUnknown:
                self._stream_cache.evict_all()
                if lost == REPLIES_LOST_MAX:
                    raise
        raise AssertionError("unreachable")
