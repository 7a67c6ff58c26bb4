"""A service's desk: what it was handed, its letters, and the append that commits what it did.

Who hands it events, and what shows that each was handed over once, is the caller's business: `advances` commit
together with the events.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ...domain.choreography.service import Service
from ...domain.recorded_event import RecordedEvent
from ..errors import OutcomeUnknown
from ..event_store.append_call import Append, AppendCall, Appended, CheckpointUpdate, Receipt
from ..event_store.event_row import NewEvent, StoredRow
from ..ledger.context import LedgerContext
from ..ledger.stream_cache import AppendBuilder
from ..ledger.transact import call_of, is_written
from .dead_letter_queue import DEAD_LETTER_TOPICS, PAGE_EVENTS, DeadLetterQueue
from .event_handler import EventHandler, PlannedReaction
from .process_log import ProcessLog, ProcessLogReader

BATCH_REACTIONS_MAX = 500
BATCH_COMMANDS_MAX = 5_000
"""A batch ends with the reaction that reaches this many commands; one has a few hundred at most."""
REPLIES_LOST_MAX = 5


def consumer_of(service: str) -> str:
    """The name under which the log keeps a service's position: it has handled every event up to there."""
    return f"service:{service}"


class Delivery:
    """Handles events on behalf of one service. Belongs to one thread."""

    def __init__(self, context: LedgerContext, service: Service, process_logs: ProcessLogReader | None = None) -> None:
        self.service = service
        self.letters = DeadLetterQueue(service.name)
        self.handling = EventHandler(context, service, process_logs)
        self._log = context.backend
        self._codec = context.codec
        self._letters_read_upto = 0

    def open(self) -> None:
        """Learn which letters there are."""
        self._letters_read_upto = self._log.head().position
        self.letters.load(self._log, self._codec)

    def read_letters(self) -> None:
        """Learn what became of letters since: a person may have said to try one again."""
        head = self._log.head().position
        while rows := self._log.read(self._letters_read_upto, limit=PAGE_EVENTS, upto=head, topics=DEAD_LETTER_TOPICS):
            for row in rows:
                self.read_letter(row)
            self._letters_read_upto = rows[-1].position
        self._letters_read_upto = max(head, self._letters_read_upto)

    def read_letter(self, row: StoredRow) -> None:
        """Take in a fact of a letter."""
        self.letters.fold(self._codec.decode(row))

    def plan(self, row: StoredRow, process_id: str, process_log: ProcessLog | None = None) -> PlannedReaction | None:
        """The reaction to an event; that it waits, if an earlier event of its process does; None if there is none."""
        behind = self.letters.blocks(process_id) if len(self.letters) else None
        if behind is None:
            return self.handling.plan(row, process_log=process_log)
        return PlannedReaction(row, behind=behind) if self.handling.concerns(row) else None

    def redeliver(self) -> int:
        """Try again the letters that are due; gives how many that was."""
        now = datetime.now(UTC)
        due = self.letters.due(now)[:BATCH_REACTIONS_MAX] if len(self.letters) else []
        for position in due:
            [row] = self._log.read(position - 1, limit=1, upto=position)
            planned = self.handling.plan(row, is_letter=True) or PlannedReaction(row, is_letter=True)
            if not self.commit(self.handling.draft([planned], now), []):
                self.open()  # another instance of this service was faster
                return 1
        return len(due)

    def commit(self, drafts: Sequence[AppendBuilder], checkpoints: Sequence[CheckpointUpdate]) -> bool:
        """Append what was drafted, whole or not at all; returns False if a stream had moved on.

        Raises `PositionConflict` when another instance of the service was faster, `Unavailable`.
        """
        return is_written(self.append(self.call_of(drafts, checkpoints)))

    def call_of(self, drafts: Sequence[AppendBuilder], checkpoints: Sequence[CheckpointUpdate]) -> AppendCall:
        """The append call that commits drafts together with the service's checkpoints."""
        events = [new for draft in drafts for new in draft.events]
        return call_of([Append(events)] if events else [], checkpoints)

    def append(self, call: AppendCall) -> Receipt:
        """Append a call of this service, and learn what its events mean for the dead letters.

        Raises what `commit` raises.
        """
        receipt = self._append(call)
        if not is_written(receipt):
            self.handling.stream_cache.evict_all()
            return receipt
        for append, outcome in zip(call.appends, receipt.outcomes, strict=True):
            assert isinstance(outcome, Appended)  # noqa: S101 -- every append was written
            for position, new in enumerate(append.events, outcome.first_position):
                if new.topic in DEAD_LETTER_TOPICS:
                    self.letters.fold(self._recorded(position, new, receipt.recorded_at))
        if receipt.outcomes:
            self.handling.stream_cache.trim()
            self.handling.stream_cache.snapshot()
        return receipt

    def _append(self, call: AppendCall) -> Receipt:
        """Append; a lost reply is asked for again, under the same append id."""
        for lost in range(REPLIES_LOST_MAX):
            try:
                return self._log.append(call)
            except OutcomeUnknown:
                self.handling.stream_cache.evict_all()
                if lost + 1 == REPLIES_LOST_MAX:
                    raise
        raise AssertionError("unreachable")

    def _recorded(self, position: int, new: NewEvent, recorded_at: datetime) -> RecordedEvent:
        return self._codec.decode(new.stored(position, recorded_at))
