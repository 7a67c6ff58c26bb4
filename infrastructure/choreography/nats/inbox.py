"""A receiver: one service on events that a broker hands over: late, twice, or in another order, but never instead of
the log.

A message only says which event there is; the log says what it is, and which earlier ones of its process the service
has yet to handle. Those come first, so each process is handled in order, and a lost message delays nothing for ever.
The inbox is in the same transaction as the reaction: `(consumer, message id)` is unique, so each counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

from ....domain.choreography.service import Service
from ...errors import PositionConflict, Unavailable
from ...event_store.append_call import AppendCall, CheckpointUpdate
from ...event_store.event_row import StoredRow
from ...ledger.context import LedgerContext
from ..delivery import BATCH_COMMANDS_MAX, BATCH_REACTIONS_MAX, Delivery, consumer_of
from ..event_handler import PlannedReaction
from ..process_log import ProcessLog
from .cloud_events import EventNotice
from .errors import MessageRejected

ROUNDS_MAX = 1_000
CHECKPOINT_EVENTS_MAX = 2_000
HANDLED_REMEMBERED_MAX = 200_000


class Rejection(NamedTuple):
    """A notice that the log contradicts."""

    notice: EventNotice
    error: MessageRejected


class NatsInbox:
    """Handles what a broker hands over to one service. Belongs to one thread."""

    def __init__(self, context: LedgerContext, service: Service) -> None:
        self.service = service
        self._context = context
        self._log = context.backend
        self._delivery = Delivery(context, service)
        self._consumer = consumer_of(service.name)
        self._handled: set[int] = set()
        self._is_open = False

    def receive(self, notices: Sequence[EventNotice]) -> list[Rejection]:
        """Handle these events and the earlier ones of their processes; gives the notices that the log contradicts.

        When it returns, every other one was handled, here or before, and may be acknowledged. Raises `Unavailable`.
        """
        self._open()
        rejections: list[Rejection] = []
        process_logs: dict[str, ProcessLog] = {}
        upto: dict[str, int] = {}
        for notice in notices:
            if notice.position in self._handled:
                continue
            try:
                row = self._verified(notice, process_logs)
            except MessageRejected as error:
                rejections.append(Rejection(notice, error))
                continue
            if self._delivery.handling.concerns(row):
                upto[notice.process_id] = max(upto.get(notice.process_id, 0), row.position)
        self._handle(upto, process_logs)
        return rejections

    def tick(self) -> int:
        """Try letters that are due, and move the checkpoint on; gives how many letters were tried. Now and then."""
        self._open()
        self._delivery.read_letters()
        tried = self._delivery.redeliver()
        self._checkpoint()
        return tried

    def _handle(self, upto: dict[str, int], process_logs: dict[str, ProcessLog]) -> None:
        """Handle processes up to these positions: of each the first event that is outstanding, round by round.

        `process_logs` are those read just now; one that is out of date by then meets a conflict.
        """
        left = dict(upto)
        for _ in range(ROUNDS_MAX):
            plans, last = self._plans(left, process_logs)
            if not plans:
                return
            process_logs = {}
            drafts = self._delivery.handling.draft(plans, datetime.now(UTC))
            done = [planned.row.position for planned in plans[: len(drafts)]]
            try:
                if self._delivery.commit(drafts, [CheckpointUpdate(self._inbox(position), 0, 1) for position in done]):
                    self._remember(done)
                    for position in done:
                        left.pop(last.get(position, ""), None)
            except PositionConflict:  # another instance of this service was faster: the log shows what it did
                self._delivery.handling.stream_cache.evict_all()
                self._delivery.read_letters()
        raise Unavailable(f"service {self.service.name!r} does not get on: others keep writing to its streams")

    def _plans(
        self, left: dict[str, int], process_logs: Mapping[str, ProcessLog]
    ) -> tuple[list[PlannedReaction], dict[int, str]]:
        """A plan for each process with something outstanding; the others are struck from `left`.

        Also the positions that are the last outstanding ones of their processes.
        """
        plans: list[PlannedReaction] = []
        last: dict[int, str] = {}
        commands = 0
        for process_id, position in list(left.items()):
            if len(plans) == BATCH_REACTIONS_MAX or commands >= BATCH_COMMANDS_MAX:
                break
            process_log = process_logs.get(process_id) or self._delivery.handling.process_log(process_id)
            rows = self._delivery.handling.outstanding(process_log, position)
            planned = self._delivery.plan(rows[0], process_id, process_log) if rows else None
            if planned is None:
                self._remember(row.position for row in process_log.rows if row.position in process_log.handled)
                del left[process_id]
            else:
                commands += len(planned.commands)
                plans.append(planned)
                if len(rows) == 1:
                    last[planned.row.position] = process_id
        return plans, last

    def _verified(self, notice: EventNotice, process_logs: dict[str, ProcessLog]) -> StoredRow:
        """The event of the log that a message is about. Raises `MessageRejected` if it is not as the message says."""
        process_log = process_logs.get(notice.process_id)
        if process_log is None:
            process_log = process_logs[notice.process_id] = self._delivery.handling.process_log(notice.process_id)
        row = process_log.at(notice.position)
        if row is None:
            rows = self._log.read(notice.position - 1, limit=1, upto=notice.position)
            if not rows:
                raise MessageRejected(f"the log has no event at position {notice.position}")
            [row] = rows
        for name, said, is_ in (
            ("ce-type", notice.topic, row.topic),
            ("ce-subject", notice.process_id, row.correlation_id or row.stream_id),
        ):
            if said != is_:
                raise MessageRejected(f"{name} is {said[:80]!r}, and the event at position {row.position} has {is_!r}")
        if notice.data is not None and notice.data != row.state:
            raise MessageRejected(f"its data is not that of the event at position {row.position}")
        return row

    def _checkpoint(self) -> None:
        """Move the service's position to just before the first event that is outstanding."""
        position = self._log.consumer_position(self._consumer)
        head = self._log.head().position
        rows = self._log.read(position, limit=CHECKPOINT_EVENTS_MAX, upto=head, topics=self.service.topics)
        upto = rows[-1].position if len(rows) == CHECKPOINT_EVENTS_MAX else head
        for row in rows:
            if row.position in self._handled or row.correlation_id is None or not self._delivery.handling.concerns(row):
                continue
            process_log = self._delivery.handling.process_log(row.correlation_id)
            if row.position not in process_log.handled:
                upto = row.position - 1
                break
            self._remember([row.position])
        if upto > position:
            try:
                self._log.append(
                    AppendCall(uuid4(), [], checkpoints=[CheckpointUpdate(self._consumer, position, upto)])
                )
            except PositionConflict:  # another instance of this service moved it
                return
            self._handled = {handled for handled in self._handled if handled > upto}

    def _remember(self, positions: Iterable[int]) -> None:
        self._handled.update(positions)
        if len(self._handled) > HANDLED_REMEMBERED_MAX:  # only a cache of the log
            self._handled.clear()

    def _inbox(self, position: int) -> str:
        return f"inbox:{self.service.name}:{position}"

    def _open(self) -> None:
        if not self._is_open:
            self._delivery.open()
            self._is_open = True
