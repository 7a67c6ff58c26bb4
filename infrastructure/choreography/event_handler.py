"""The event handler: what one service does about one event.

`plan` lets the service react; `draft` decides the commands of that reaction against the participants' state. Which
events are handled, in which order and in which append is up to `Delivery`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from ...domain.choreography.choreography import Choreography
from ...domain.choreography.dead_letter import DeferDelivery, FailDelivery, SettleDelivery
from ...domain.choreography.service import NothingToDo, ProcessHistory, ReactionRule, Service
from ...domain.errors import SagaledgerError
from ...domain.event import Event
from ...domain.participant import Command, Refused
from ...domain.recorded_event import Meta
from ...domain.saga.outcome import Failed, failure_of
from ...domain.user_code import is_interruption
from ..errors import OutcomeUnknown, Unavailable
from ..event_store.codec import UnreadableEvent
from ..event_store.event_row import StoredRow
from ..ledger.append_builder import AppendBuilder, NotDecidableYet
from ..ledger.context import LedgerContext
from ..ledger.stream_cache import StreamCache
from .delivery_log import log_failed_delivery
from .process_log import ProcessLog, ProcessLogReader, traceparent_of


class WrongProcess(SagaledgerError):
    """An event bears the correlation id of another process than the one that it is about."""


class PlannedReaction(NamedTuple):
    """What a service wants to do about an event, before its commands are decided."""

    row: StoredRow
    commands: Sequence[Command] = ()
    failure: Failed | None = None
    error: BaseException | None = None
    """What was raised, for the log."""
    blocker: int | None = None
    """The position of an earlier event of the process, for which this one has to wait."""
    is_dead_letter: bool = False
    """Whether the event failed or waited before: handling it settles its dead letter."""
    traceparent: str | None = None
    """The trace context of what is recorded about it."""


class EventHandler:
    """Plans and drafts the reactions of one service. Belongs to one thread, as do `stream_cache` and `process_logs`."""

    def __init__(
        self, context: LedgerContext, service: Service, stream_cache: StreamCache, process_logs: ProcessLogReader
    ) -> None:
        self._service = service
        self._app = context.app
        self._codec = context.codec
        self._stream_cache = stream_cache
        self._process_logs = process_logs
        self._meta = Meta(worker=service.name)
        self._observer = context.observer
        self.announced: dict[int, str] = {}
        """The trace contexts of the messages that announced events, by the event's position."""

    def concerns(self, row: StoredRow) -> bool:
        """Whether the service reacts to an event.

        Also if that cannot be said, because the event cannot be read or the rule's `when` raises: `plan` then meets the
        same error, which becomes the outcome of the delivery.
        """
        rule = self._rule_for(row)
        if rule is None:
            return False
        try:
            return bool(rule.when(self._codec.decode(row).event))
        except BaseException as error:
            if is_interruption(error):
                raise
            return True

    def plan(
        self, row: StoredRow, process_log: ProcessLog | None = None, *, is_dead_letter: bool = False
    ) -> PlannedReaction | None:
        """Let the service react to an event; returns None if the event does not concern it, or was handled before.

        A reaction that raises is a plan to record its failure, except for `Unavailable` and `OutcomeUnknown`: these
        say nothing about the event, and are raised.
        """
        traceparent = traceparent_of(row)
        if self._observer is None:
            planned = self._plan(row, process_log, is_dead_letter=is_dead_letter)
        elif not self.concerns(row):
            return None
        else:
            attributes = {"saga.service": self._service.name, "saga.process": _process_of(row), "saga.event": row.topic}
            parent = self.announced.pop(row.position, traceparent)
            with self._observer.span(f"process {row.topic}", "consumer", attributes, parent=parent) as traceparent:
                planned = self._plan(row, process_log, is_dead_letter=is_dead_letter)
        return planned if planned is None or traceparent is None else planned._replace(traceparent=traceparent)

    def _plan(self, row: StoredRow, process_log: ProcessLog | None, *, is_dead_letter: bool) -> PlannedReaction | None:
        rule = self._rule_for(row)
        if rule is None:
            return None
        try:
            event = self._codec.decode(row).event
            if not rule.when(event):
                return None
            process_log = process_log or self._process_log_of(row)
            if row.position in process_log.handled and not is_dead_letter:
                return None
            commands = self._react(rule, event, row, process_log, is_dead_letter=is_dead_letter)
        except (Unavailable, OutcomeUnknown):
            raise
        except BaseException as error:  # whatever a reaction raises is the outcome of its delivery
            if is_interruption(error):
                raise
            if not is_dead_letter and row.position in (process_log or self._process_log_of(row)).handled:
                return None  # its failure is on record already
            return PlannedReaction(row, failure=_failure(error), error=error, is_dead_letter=is_dead_letter)
        return PlannedReaction(row, commands, is_dead_letter=is_dead_letter)

    def draft(self, planned: PlannedReaction, now: datetime) -> AppendBuilder:
        """Decide a plan; returns a draft of the events that follow, or of the record that the event failed or waits.

        Raises `NotDecidableYet` for `StreamCache.build`, `Unavailable`, `OutcomeUnknown`.
        """
        row = planned.row
        if planned.blocker is not None:
            deferred = DeferDelivery(self._service.name, row.position, row.topic, planned.blocker)
            return self._record(planned, deferred, now)
        if planned.failure is not None:
            return self._record_failure(planned, planned.failure, planned.error, now)
        draft = self._begin(planned)
        try:
            self._decide(draft, planned, now)
        except (NotDecidableYet, Unavailable, OutcomeUnknown):
            raise
        except BaseException as error:  # as in `plan`; what was drafted so far is dropped
            if is_interruption(error):
                raise
            return self._record_failure(planned, _failure(error), error, now)
        return draft

    # The reaction

    def _react(
        self, rule: ReactionRule, event: Event, row: StoredRow, process_log: ProcessLog, *, is_dead_letter: bool
    ) -> Sequence[Command]:
        choreography, process_id = rule.choreography, _process_of(row)
        if type(event) in choreography.meanings and choreography.process_id(choreography.key(event)) != process_id:
            raise WrongProcess(
                f"{row.topic} at position {row.position} is about {choreography.key(event)!r}, not about process "
                f"{process_id!r} whose correlation id it bears: correct the writer of that event"
            )
        known = process_log.known_at(row, is_dead_letter=is_dead_letter)
        latest = {other.topic: other for other in known if other.topic in choreography.topics}
        history = ProcessHistory(process_id, (self._codec.decode(other).event for other in latest.values()))
        reaction = rule.react(event, history) or NothingToDo("nothing was left to do")
        if isinstance(reaction, NothingToDo):
            return [self._service.skip(choreography, event, history, reaction)]
        return reaction

    # The draft

    def _decide(self, draft: AppendBuilder, planned: PlannedReaction, now: datetime) -> None:
        if planned.is_dead_letter:
            draft.handle([SettleDelivery(self._service.name, planned.row.position)], now)
        before = len(draft.events)
        try:
            draft.handle(planned.commands, now)
        except Refused as refusal:
            if not refusal.events:  # a refusal that records events is a reply to the process; any other is a failure
                raise
        if len(draft.events) == before:
            draft.handle([self._skip_done_before(planned.row)], now)

    def _skip_done_before(self, row: StoredRow) -> Command:
        """Returns the command to record that nothing was left to do: every handled event needs a record."""
        choreography = self._choreography_of(row)
        assert choreography is not None  # noqa: S101 -- a plan is made only for an event of a process
        event = self._codec.decode(row).event
        return self._service.skip(
            choreography, event, ProcessHistory(_process_of(row)), NothingToDo("it was done before")
        )

    def _record_failure(
        self, planned: PlannedReaction, failure: Failed, error: BaseException | None, now: datetime
    ) -> AppendBuilder:
        row = planned.row
        name, position, retry = self._service.name, row.position, self._service.retry
        stream_id = self._stream_of(SettleDelivery(name, position))
        known = self._stream_cache.known(stream_id)
        if known is None:
            raise self._stream_cache.missing({stream_id})
        attempt = known.state.attempts + 1
        retry_at = None
        if failure.retryable and attempt < retry.attempts:
            seconds = failure.delay_seconds
            delay = retry.delay_seconds(f"{name}.{position}", attempt) if seconds is None else seconds
            retry_at = now + timedelta(seconds=delay)
        log_failed_delivery(name, row, attempt, failure, error, parked=retry_at is None)
        return self._record(planned, FailDelivery(name, position, row.topic, failure.error, retry_at), now)

    def _record(self, planned: PlannedReaction, command: Command, now: datetime) -> AppendBuilder:
        draft = self._begin(planned)
        draft.handle([command], now)
        return draft

    def _begin(self, planned: PlannedReaction) -> AppendBuilder:
        row, meta = planned.row, self._meta
        if planned.traceparent is not None:
            meta = replace(meta, traceparent=planned.traceparent)
        return self._stream_cache.draft(_process_of(row), meta, causation_position=row.position)

    # Look-ups

    def _rule_for(self, row: StoredRow) -> ReactionRule | None:
        choreography = self._choreography_of(row)
        return None if choreography is None else self._service.response_to(choreography.name, row.topic)

    def _choreography_of(self, row: StoredRow) -> Choreography | None:
        return None if row.correlation_id is None else self._app.choreography_of(row.correlation_id)

    def _process_log_of(self, row: StoredRow) -> ProcessLog:
        return self._process_logs.read(_process_of(row), self._service.name)

    def _stream_of(self, command: Command) -> str:
        return self._app.participant_for(command).stream_of(command)


def _process_of(row: StoredRow) -> str:
    return row.stream_id if row.correlation_id is None else row.correlation_id


def _failure(error: BaseException) -> Failed:
    cause = error.__cause__ if isinstance(error, UnreadableEvent) and error.__cause__ is not None else error
    failed = failure_of(cause, local=True)
    if isinstance(error, UnreadableEvent | WrongProcess):
        return Failed(failed.error, failed.effect, retryable=False)
    return failed
