"""The inbox: one service handles the events that a broker announces, however late, often or disordered.

A message only says which event there is. The log says what the event is, and which earlier events of its process the
service has yet to handle. Those come first, so the events of a process are handled in order, and a lost message is
made up for by the next one. `(consumer, message id)` is unique in the log, and committed together with the reaction, so
that each event counts once.

No event depends on its message: one that the broker has not announced some seconds after it was recorded is read from
the log. So it may be purged, expired, or dropped as the duplicate of another message with its id.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ....domain.choreography.service import Service
from ...errors import PositionConflict, Unavailable
from ...event_store.append_call import CheckpointUpdate
from ...event_store.event_row import StoredRow
from ...ledger.context import LedgerContext
from ...ledger.transact import call_of
from ..delivery import Delivery, ReactionBatch, consumer_of
from ..process_log import ProcessLog, ProcessLogReader
from .cloud_events import EventNotice
from .errors import MessageRejected

ROUNDS_MAX = 1_000
CHECKPOINT_EVENTS_MAX = 2_000
HANDLED_CACHED_MAX = 200_000
OVERDUE_SECONDS = 5.0
"""How long after it was seen in the log an event that no message announced is handled all the same."""
OVERDUE_EVENTS_MAX = 500
"""How many of them are handled in one go: messages are waiting meanwhile."""

_log = logging.getLogger(__name__)


class Rejection(NamedTuple):
    """A notice that the log contradicts."""

    notice: EventNotice
    error: MessageRejected


class NatsInbox:
    """Handles what a broker announces to one service. Belongs to one thread."""

    def __init__(self, context: LedgerContext, service: Service) -> None:
        self.service = service
        self._log = context.backend
        self._process_logs = ProcessLogReader(context.backend)
        self._delivery = Delivery(context, service, self._process_logs)
        self._consumer = consumer_of(service.name)
        self._clock = context.clock
        self._handled: set[int] = set()
        """Positions that need no handling any more: a cache of the log."""
        self._overdue_upto = 0
        """Events up to here were in the log some time ago: their messages should have come."""
        self._seen_upto, self._seen_at = 0, -OVERDUE_SECONDS
        """Where the log ended at a time; that becomes `_overdue_upto` some time later."""
        self._told_of_overdue = False

    def receive(self, notices: Sequence[EventNotice]) -> list[Rejection]:
        """Handle these events, after the earlier ones of their processes; returns the notices that the log contradicts.

        When it returns, every other event is handled, and its message may be acknowledged. Raises `Unavailable` and
        `OutcomeUnknown`; then none may.
        """
        self._delivery.announce({each.position: each.traceparent for each in notices if each.traceparent is not None})
        self._delivery.read_dead_letters()
        rejections: list[Rejection] = []
        process_logs: dict[str, ProcessLog] = {}
        wanted: dict[str, int] = {}
        for notice in notices:
            if notice.position in self._handled:
                continue
            if notice.process_id not in process_logs:
                process_logs[notice.process_id] = self._process_log(notice.process_id)
            try:
                row = self._verified(notice, process_logs[notice.process_id])
            except MessageRejected as error:
                rejections.append(Rejection(notice, error))
                continue
            if self._delivery.concerns(row):
                wanted[notice.process_id] = max(wanted.get(notice.process_id, 0), row.position)
        self._handle(wanted, process_logs)
        return rejections

    def tick(self) -> int:
        """Try the dead letters that are due, handle the events that no message announced in time, and move the
        service's checkpoint; returns how many dead letters were tried.

        To be called every now and then. Raises `Unavailable` and `OutcomeUnknown`.
        """
        self._delivery.read_dead_letters()
        tried = self._delivery.redeliver()
        self._handle_overdue()
        self._move_checkpoint()
        return tried

    def _handle(self, wanted: dict[str, int], process_logs: dict[str, ProcessLog]) -> None:
        """Handle the events of processes up to a position each, in rounds of one event of each process.

        `process_logs` are the logs that were read just now: the first round does without reading them again.
        """
        for _ in range(ROUNDS_MAX):
            batch, finishing = self._plan(wanted, process_logs)
            if not batch.plans:
                return
            process_logs = {}
            drafts = self._delivery.draft(batch.plans)
            positions = [planned.row.position for planned in batch.plans[: len(drafts)]]
            try:
                committed = self._delivery.commit(drafts, [self._received(position) for position in positions])
            except PositionConflict:  # another instance of this service was faster: the log shows what it did
                self._delivery.read_dead_letters()
                continue
            if committed:
                self._remember(positions)
                for position in positions:
                    wanted.pop(finishing.get(position, ""), None)
        raise Unavailable(f"service {self.service.name!r} makes no progress: others keep writing to its streams")

    def _plan(
        self, wanted: dict[str, int], process_logs: dict[str, ProcessLog]
    ) -> tuple[ReactionBatch, dict[int, str]]:
        """Plan the first unhandled event of each wanted process; processes without one are removed from `wanted`.

        Returns the batch, and which of its positions finish which process.
        """
        batch = ReactionBatch()
        finishing: dict[int, str] = {}
        for process_id, upto in list(wanted.items()):
            if batch.is_full:
                break
            process_log = process_logs.get(process_id) or self._process_log(process_id)
            rows = [row for row in process_log.unhandled(upto) if self._delivery.concerns(row)]
            planned = self._delivery.plan(rows[0], process_log) if rows else None
            if planned is None:
                self._remember(row.position for row in process_log.rows if row.position in process_log.handled)
                del wanted[process_id]
                continue
            batch.add(planned)
            if len(rows) == 1:
                finishing[planned.row.position] = process_id
        return batch, finishing

    def _verified(self, notice: EventNotice, process_log: ProcessLog) -> StoredRow:
        """Returns the event of the log that a notice is about. Raises `MessageRejected` if the log contradicts it."""
        position = notice.position
        row = process_log.at(position)
        if row is None:
            rows = self._log.read(position - 1, limit=1, upto=position)
            if not rows:
                raise MessageRejected(f"the log has no event at position {position}")
            [row] = rows
        process_id = row.correlation_id or row.stream_id
        if notice.topic != row.topic:
            raise MessageRejected(f"ce-type is {notice.topic[:80]!r}, and the event at {position} is {row.topic!r}")
        if notice.process_id != process_id:
            raise MessageRejected(
                f"ce-subject is {notice.process_id[:80]!r}, and the event at position {position} is of {process_id!r}"
            )
        if notice.data is not None and notice.data != row.state:
            raise MessageRejected(f"its data is not that of the event at position {position}")
        return row

    def _handle_overdue(self) -> None:
        """Handle from the log what is unhandled beyond the checkpoint and was not announced in time, up to a limit."""
        now = self._clock.monotonic()
        if now - self._seen_at >= OVERDUE_SECONDS:
            self._overdue_upto = self._seen_upto
            self._seen_upto, self._seen_at = self._log.head().position, now
        position = self._log.consumer_position(self._consumer)
        if position >= self._overdue_upto:
            return
        rows = self._beyond(position, self._overdue_upto)
        overdue = [row for row in rows if not self._needs_nothing(row)][:OVERDUE_EVENTS_MAX]
        if overdue and not self._told_of_overdue:
            _log.warning(
                "service %s: events that the broker did not announce within %g s are handled from the log: %d, from "
                "position %d on",
                self.service.name,
                OVERDUE_SECONDS,
                len(overdue),
                overdue[0].position,
            )
        self._told_of_overdue = bool(overdue)
        self._handle({row.correlation_id or row.stream_id: row.position for row in overdue}, {})

    def _move_checkpoint(self) -> None:
        """Move the service's checkpoint to just before its first unhandled event: it shows how far the service is."""
        position = self._log.consumer_position(self._consumer)
        head = self._log.head().position
        rows = self._beyond(position, head)
        end = rows[-1].position if len(rows) == CHECKPOINT_EVENTS_MAX else head
        unhandled = next((row.position for row in rows if not self._needs_nothing(row)), None)
        upto = end if unhandled is None else unhandled - 1
        if upto <= position:
            return
        try:
            self._log.append(call_of([], [CheckpointUpdate(self._consumer, position, upto)]))
        except PositionConflict:  # another instance of this service moved it
            return
        self._handled = {handled for handled in self._handled if handled > upto}

    def _beyond(self, position: int, upto: int) -> Sequence[StoredRow]:
        """Returns the next events of the service's types, up to a limit."""
        return self._log.read(position, limit=CHECKPOINT_EVENTS_MAX, upto=upto, topics=self.service.topics)

    def _needs_nothing(self, row: StoredRow) -> bool:
        """Whether the service has nothing to do about an event (any more)."""
        if row.position in self._handled or row.correlation_id is None or not self._delivery.concerns(row):
            return True
        handled = row.position in self._process_log(row.correlation_id).handled
        if handled:
            self._remember([row.position])
        return handled

    def _process_log(self, process_id: str) -> ProcessLog:
        return self._process_logs.read(process_id, self.service.name)

    def _received(self, position: int) -> CheckpointUpdate:
        """The record that a message was received: it fails if there is one already."""
        return CheckpointUpdate(f"inbox:{self.service.name}:{position}", 0, 1)

    def _remember(self, positions: Iterable[int]) -> None:
        self._handled.update(positions)
        if len(self._handled) > HANDLED_CACHED_MAX:
            self._handled.clear()
