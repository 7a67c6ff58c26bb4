"""A follower: one service on the bus that is the log itself, from its own position.

Its reactions, their events and its position commit together, so each event is handled exactly once, across crashes
and with two instances of one service. A reaction that fails becomes a letter, and the others go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

from ...domain.recorded import Recorded
from ...domain.service import Service
from ..committer import Draft
from ..errors import OutcomeUnknown, PositionConflict, Unavailable
from ..ledger import Ledger
from ..log.port import Advance, Append, AppendCall, Appended, NewEvent, Receipt, StoredRow
from .handling import Handling, Planned
from .letters import LETTER_TOPICS, OpenLetters

READ_EVENTS_MAX = 4_000
BATCH_REACTIONS_MAX = 500
BATCH_COMMANDS_MAX = 5_000
"""A batch ends with the reaction that reaches this many commands; one has a few hundred at most."""
CONFLICTS_MAX = 100
REPLIES_LOST_MAX = 5


def consumer_of(service: str) -> str:
    """The name under which the log keeps a service's position."""
    return f"service:{service}"


class Follower:
    """Follows the log on behalf of one service. Belongs to one thread."""

    def __init__(self, ledger: Ledger, service: Service) -> None:
        self.service = service
        self.letters = OpenLetters(service.name)
        self._consumer = consumer_of(service.name)
        self._log = ledger.backend
        self._mapper = ledger.mapper
        self._handling = Handling(ledger, service)
        self._topics = (*service.topics, *LETTER_TOPICS)
        self._position: int | None = None

    def step(self) -> int:
        """Handle the letters that are due, then one batch of the log; gives how many events that was, 0 at the head.

        Raises `Unavailable`.
        """
        if self._position is None:
            self._position = self._log.consumer_position(self._consumer)
            self.letters.load(self._log, self._mapper)
        try:
            return self._redeliver() or self._follow(self._position)
        except PositionConflict:  # another instance of this service was faster
            self._forget()
            return 1

    def _follow(self, position: int) -> int:
        head = self._log.head().position
        if head <= position:
            return 0
        for _ in range(CONFLICTS_MAX):
            now = datetime.now(UTC)
            rows = self._log.read(position, limit=READ_EVENTS_MAX, upto=head, topics=self._topics)
            upto = rows[-1].position if len(rows) == READ_EVENTS_MAX else head
            drafts, upto = self._batch(rows, upto, now)
            if self._commit(drafts, [Advance(self._consumer, position, upto)]):
                self._position = upto
                return upto - position
            self._handling.committer.forget_all()
        raise Unavailable(f"service {self.service.name!r} cannot write: others keep writing to its streams")

    def _batch(self, rows: Sequence[StoredRow], upto: int, now: datetime) -> tuple[list[Draft], int]:
        """Drafts for the events up to a position, which may come before the one given."""
        plans, upto = self._plans(rows, upto)
        drafts = self._handling.draft(plans, now)
        if len(drafts) < len(plans):
            upto = plans[len(drafts)].row.position - 1
        return drafts, upto

    def _plans(self, rows: Sequence[StoredRow], upto: int) -> tuple[list[Planned], int]:
        """Reactions to the events up to a position: each process once, so that none rests on another undecided one."""
        plans: list[Planned] = []
        seen: set[str] = set()
        commands = 0
        for row in rows:
            if row.topic in LETTER_TOPICS:
                self.letters.fold(self._mapper.to_recorded(row))
                continue
            if row.correlation_id is None or self._handling.response_to(row) is None:
                continue
            if row.correlation_id in seen or len(plans) == BATCH_REACTIONS_MAX or commands >= BATCH_COMMANDS_MAX:
                return plans, row.position - 1
            planned = self._plan(row, row.correlation_id)
            if planned is not None:
                seen.add(row.correlation_id)
                commands += len(planned.commands)
                plans.append(planned)
        return plans, upto

    def _plan(self, row: StoredRow, process_id: str) -> Planned | None:
        """The reaction to an event; that it waits, if an earlier event of its process does."""
        behind = self.letters.blocks(process_id) if len(self.letters) else None
        return self._handling.plan(row) if behind is None else Planned(row, behind=behind)

    def _redeliver(self) -> int:
        """Try again the letters that are due."""
        now = datetime.now(UTC)
        due = self.letters.due(now)[:BATCH_REACTIONS_MAX] if len(self.letters) else []
        for position in due:
            [row] = self._log.read(position - 1, limit=1, upto=position)
            planned = (self._handling.plan(row) or Planned(row))._replace(is_letter=True)
            if not self._commit(self._handling.draft([planned], now), []):
                self._forget()  # another instance of this service was faster
                return 1
        return len(due)

    def _commit(self, drafts: Sequence[Draft], advances: Sequence[Advance]) -> bool:
        """Append what was drafted, whole or not at all; False if a stream had moved on."""
        events = [new for draft in drafts for new in draft.events]
        receipt = self._append(AppendCall(uuid4(), [Append(events)] if events else [], advances=advances))
        if not receipt.outcomes:
            return True
        outcome = receipt.outcomes[0]
        if not isinstance(outcome, Appended):
            self._handling.committer.forget_all()
            return False
        for position, new in enumerate(events, outcome.first_position):
            if new.topic in LETTER_TOPICS:
                self.letters.fold(self._recorded(position, new, receipt.recorded_at))
        committer = self._handling.committer
        committer.trim()
        committer.snapshot()
        return True

    def _append(self, call: AppendCall) -> Receipt:
        """Append; a lost reply is asked for again, under the same append id."""
        for lost in range(REPLIES_LOST_MAX):
            try:
                return self._log.append(call)
            except OutcomeUnknown:
                if lost + 1 == REPLIES_LOST_MAX:
                    self._forget()
                    raise
        raise AssertionError("unreachable")

    def _recorded(self, position: int, new: NewEvent, recorded_at: datetime) -> Recorded:
        return self._mapper.to_recorded(StoredRow(position, *new[:8], recorded_at, new.digest))

    def _forget(self) -> None:
        """Read everything again: what was believed of the log is in doubt."""
        self._position = None
        self._handling.committer.forget_all()
