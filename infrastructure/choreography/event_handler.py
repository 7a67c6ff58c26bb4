"""Handling: from events that reach a service to the append that holds what it did about them.

A reaction's events, and what became of its delivery, are drafted here against the participants' state; who delivers
(the log itself, or a broker) and what commits with it is the business of the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from ...domain.choreography.choreography import Choreography
from ...domain.choreography.dead_letter import DeferDelivery, FailDelivery, SettleDelivery
from ...domain.choreography.service import NothingToDo, ProcessHistory, ReactionRule, Service
from ...domain.errors import SagaledgerError
from ...domain.event import Event
from ...domain.participant import Command, Refused
from ...domain.recorded_event import Meta
from ...domain.saga.outcome import Failed, failure_of
from ..errors import OutcomeUnknown, Unavailable
from ..event_store.codec import UnreadableEvent
from ..event_store.event_row import StoredRow
from ..ledger.context import LedgerContext
from ..ledger.stream_cache import AppendBuilder, StreamCache, StreamsMissing, StreamsUnsettled
from .process_log import ProcessLog, ProcessLogReader


class WrongProcess(SagaledgerError):
    """An event bears the correlation id of another process than the one that it is about."""


class PlannedReaction(NamedTuple):
    """What a service wants to do about an event, before it is decided."""

    row: StoredRow
    commands: Sequence[Command] = ()
    failure: Failed | None = None
    behind: int | None = None
    """The position of an earlier event of its process, behind which it waits."""
    is_letter: bool = False
    """It failed, or waited, before: handling it settles that."""


class EventHandler:
    """What one service does about events. It belongs to one thread, and so does `process_logs`, which others share."""

    def __init__(self, context: LedgerContext, service: Service, process_logs: ProcessLogReader | None = None) -> None:
        self.service = service
        self._process_logs = process_logs or ProcessLogReader(context.backend)
        self.stream_cache = StreamCache(context.app, context.backend, context.codec)
        self._codec = context.codec
        self._app = context.app
        self._meta = Meta(worker=service.name)

    def response_to(self, row: StoredRow) -> ReactionRule | None:
        """What the service does about an event, if it is of one of its processes."""
        choreography = self._choreography_of(row)
        return None if choreography is None else self.service.response_to(choreography.name, row.topic)

    def process_log(self, process_id: str) -> ProcessLog:
        """The process as the log has it now."""
        return self._process_logs.of(process_id, self.service.name)

    def outstanding(self, process_log: ProcessLog, upto: int) -> list[StoredRow]:
        """The events of a process, up to a position, that the service has yet to handle."""
        return [
            row
            for row in process_log.rows
            if row.position <= upto and row.position not in process_log.handled and self.concerns(row)
        ]

    def concerns(self, row: StoredRow) -> bool:
        """Whether the service does something about an event; also about one that cannot be read."""
        response = self.response_to(row)
        if response is None:
            return False
        try:
            return response.when(self._codec.decode(row).event)
        except SagaledgerError:
            return True

    def plan(
        self, row: StoredRow, *, process_log: ProcessLog | None = None, is_letter: bool = False
    ) -> PlannedReaction | None:
        """React to an event: to commands, or to a failure; None if it does not concern the service, or was handled.

        Raises `Unavailable`: that says nothing about the event.
        """
        response = self.response_to(row)
        if response is None:
            return None
        try:
            event = self._codec.decode(row).event
            if not response.when(event):
                return None
            known = process_log or self.process_log(_process_of(row))
            if row.position in known.handled and not is_letter:
                return None
            return PlannedReaction(
                row, self._react(response, event, row, known, is_letter=is_letter), is_letter=is_letter
            )
        except (Unavailable, OutcomeUnknown):
            raise
        except Exception as error:  # noqa: BLE001 -- whatever a reaction raises is the outcome of its delivery
            if not is_letter and row.position in (process_log or self.process_log(_process_of(row))).handled:
                return None  # it failed before, and is a letter by now
            return PlannedReaction(row, failure=_failure(error), is_letter=is_letter)

    def draft(self, plans: Sequence[PlannedReaction], now: datetime) -> list[AppendBuilder]:
        """Decide plans: a draft for each of the first ones, at least for one; the rest has to wait for these.

        A draft holds a reaction's events, or the fact that it failed, or that it waits.
        """
        while True:
            built = self.stream_cache.build([partial(self._decided, planned, now) for planned in plans])
            drafts = dict(built)
            ready = [planned.row.position for planned in plans if planned.row.position in drafts]
            left_out = next((at for at, planned in enumerate(plans) if planned.row.position not in drafts), None)
            if left_out is None:
                return [drafts[position] for position in ready]
            self.stream_cache.evict_all()
            plans = plans[: left_out or 1]

    def _decided(self, planned: PlannedReaction, now: datetime) -> tuple[int, AppendBuilder]:
        draft = self._draft_of(planned, now)
        self.stream_cache.stage(draft.overlay)
        return planned.row.position, draft

    def _draft_of(self, planned: PlannedReaction, now: datetime) -> AppendBuilder:
        failure = planned.failure
        if planned.behind is not None:
            wait = DeferDelivery(self.service.name, planned.row.position, planned.row.topic, planned.behind)
            return self._record(planned.row, wait, now)
        if failure is None:
            draft = self._draft(planned.row)
            try:
                self._decide(draft, planned, now)
            except (StreamsMissing, StreamsUnsettled, Unavailable, OutcomeUnknown):
                raise
            except Exception as error:  # noqa: BLE001 -- as in `plan`: nothing of the draft is kept
                failure = _failure(error)
            else:
                return draft
        return self._fail(planned.row, failure, now)

    def _react(
        self, response: ReactionRule, event: Event, row: StoredRow, process_log: ProcessLog, *, is_letter: bool
    ) -> Sequence[Command]:
        choreography, process_id = response.choreography, _process_of(row)
        if type(event) in choreography.meanings and choreography.process_id(choreography.key(event)) != process_id:
            raise WrongProcess(
                f"{row.topic} at position {row.position} is about {choreography.key(event)!r}, not about process "
                f"{process_id!r} whose correlation id it bears: correct whoever wrote it"
            )
        known = process_log.known_at(row, is_letter=is_letter)
        latest = {other.topic: other for other in known if other.topic in choreography.topics}
        history = ProcessHistory(process_id, (self._codec.decode(other).event for other in latest.values()))
        wanted = response.react(event, history)
        if isinstance(wanted, NothingToDo):
            return [self.service.skip(choreography, event, history, wanted)]
        if not wanted:
            return [self.service.skip(choreography, event, history, NothingToDo("nothing was left to do"))]
        return wanted

    def _decide(self, draft: AppendBuilder, planned: PlannedReaction, now: datetime) -> None:
        if planned.is_letter:
            draft.handle([SettleDelivery(self.service.name, planned.row.position)], now)
        before = len(draft.events)
        try:
            draft.handle(planned.commands, now)
        except Refused as refusal:
            if not refusal.events:  # a refusal that is on record is an answer; one that is not, is none
                raise
        if len(draft.events) == before:
            draft.handle([self._done_before(planned)], now)

    def _done_before(self, planned: PlannedReaction) -> Command:
        """Everything asked for was done before; that is said too, so that each handled event leaves a trace."""
        choreography = self._choreography_of(planned.row)
        assert choreography is not None  # noqa: S101 -- a plan is made only for an event of a process
        event = self._codec.decode(planned.row).event
        history = ProcessHistory(_process_of(planned.row))
        return self.service.skip(choreography, event, history, NothingToDo("it was done before"))

    def _fail(self, row: StoredRow, failure: Failed, now: datetime) -> AppendBuilder:
        name, position = self.service.name, row.position
        letter_id = self._stream_of(SettleDelivery(name, position))
        known = self.stream_cache.known(letter_id)
        if known is None:
            raise StreamsMissing({letter_id})
        attempt = known.state.attempts + 1
        again = failure.retryable and attempt < self.service.retry.attempts
        delay = timedelta(seconds=self.service.retry.delay_seconds(f"{name}.{position}", attempt))
        command = FailDelivery(name, position, row.topic, failure.error, now + delay if again else None)
        return self._record(row, command, now)

    def _record(self, row: StoredRow, command: Command, now: datetime) -> AppendBuilder:
        draft = self._draft(row)
        draft.handle([command], now)
        return draft

    def _draft(self, row: StoredRow) -> AppendBuilder:
        return self.stream_cache.draft(_process_of(row), self._meta, causation_position=row.position)

    def _stream_of(self, command: Command) -> str:
        return self._app.participant_for(command).stream_of(command)

    def _choreography_of(self, row: StoredRow) -> Choreography | None:
        return None if row.correlation_id is None else self._app.choreography_of(row.correlation_id)


def _process_of(row: StoredRow) -> str:
    return row.stream_id if row.correlation_id is None else row.correlation_id


def _failure(error: Exception) -> Failed:
    cause = error.__cause__ if isinstance(error, UnreadableEvent) and error.__cause__ is not None else error
    failed = failure_of(cause, local=True)
    if isinstance(error, UnreadableEvent | WrongProcess):
        return Failed(failed.error, failed.effect, retryable=False)
    return failed
