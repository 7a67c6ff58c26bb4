"""Starting the ticks of schedules that are due: each starts one saga, whichever worker sees it, and however it ends.

What was decided about a tick stands in the schedule's stream, and the event that says that it started is in one append
with the saga's start. Workers that see the same tick write to the same version of that stream, so one of them writes. A
worker that dies has written both or neither.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

from ...domain.errors import DefinitionError, SagaledgerError
from ...domain.participant import Command
from ...domain.recorded_event import Meta
from ...domain.saga.definition import Definition
from ...domain.saga.error_text import error_text, parts_of, shortened, type_name
from ...domain.saga.evolve import fold_all
from ...domain.saga.state import SagaState
from ...domain.schedule.decide import (
    TICKS_MAX,
    DeclareSchedule,
    ListSchedule,
    QueueTick,
    ScheduleMoved,
    SetScheduleBack,
    SkipTicks,
    StartTick,
    is_ahead,
)
from ...domain.schedule.events import DeclaredSchedule, Overlap, SkipCause
from ...domain.schedule.plan import TickQueue, TickSkip, TickStart, due_ticks, plan_ticks
from ...domain.schedule.state import PendingTick, ScheduleState, same_times
from ...domain.user_code import is_interruption
from ..errors import NEEDS_A_PERSON, OutcomeUnknown, Unavailable
from ..event_store.codec import UnreadableEvent
from ..runtime.traceback_log import log_traceback
from .append_builder import AppendBuilder, NotDecidableYet
from .saga_start import SagaStart
from .schedule import Schedule, key_of
from .schedule_streams import ScheduleStreams, timetable_in

log = logging.getLogger(__name__)

DETAIL_CHARACTERS_MAX: Final = 500
ROUNDS_MAX: Final = 10
"""How often one look decides again because others wrote to the schedule; the next look goes on."""
_PASSES: Final = (Unavailable, OutcomeUnknown, UnreadableEvent, *NEEDS_A_PERSON)
"""Errors of the ledger, which say nothing about the saga that was to start."""


class NotStartable(SagaledgerError):
    """The saga of a tick cannot be started; the text says why, and `__cause__` is the error of the app."""


class TickStarter:
    """Decides about the ticks of the schedules that an app declares. Belongs to one thread."""

    def __init__(self, streams: ScheduleStreams, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self._streams = streams
        self._context = streams.context
        self._is_stopping = is_stopping
        self._runs: dict[str, SagaState] = {}
        """By schedule: the saga for which its ticks wait, as it was last read."""

    def declare(self, schedule: Schedule, now: datetime) -> None:
        """Record a schedule as the app declares it, if that is new; first settle what its earlier times owe."""
        wanted = schedule.declaration
        before = self._state(schedule).declaration
        if before == wanted:
            return
        owed: tuple[datetime, ...] = ()
        if before is not None and not same_times(before, wanted):
            try:
                owed = _owed(self.settle(schedule, now), now)
            except DefinitionError as error:
                what = "schedule %s changes, and its earlier times cannot be computed: %s"
                log.warning(what, schedule.name, error, extra={"schedule": schedule.name})
            if self._is_stopping():
                return  # it may not have started all that it could
        commands: list[Command] = [ListSchedule(schedule.name), DeclareSchedule(schedule.name, wanted, owed)]
        self._streams.append(schedule.name, commands, at=now)

    def settle(self, schedule: Schedule, now: datetime) -> ScheduleState:
        """Do what is to be done about a schedule's ticks now; return its state then.

        Raises `Unavailable`, `OutcomeUnknown`, `DefinitionChanged`, and `DefinitionError` for times that this machine
        cannot compute.
        """
        state = self._state(schedule)
        for _ in range(ROUNDS_MAX):
            if not self._round(schedule, state, now):
                break
            state = self._state(schedule)
        self._streams.cache.snapshot()
        return state

    def _state(self, schedule: Schedule) -> ScheduleState:
        return self._streams.states([schedule.name])[schedule.name]

    def _round(self, schedule: Schedule, state: ScheduleState, now: datetime) -> bool:
        """Decide once about the ticks of a schedule; return whether there was something to do."""
        declaration = state.declaration
        if declaration is None or self._is_stopping():
            return False
        definition = self._context.app.find_definition(declaration.saga, declaration.saga_version)
        if definition is None:
            return False  # another worker has it
        try:
            if is_ahead(state, now):
                self._append(schedule, SetScheduleBack(schedule.name), now)
                return True
            due = due_ticks(state, timetable_in(state), now)
            if not due and not state.pending:
                return False
            running = declaration.overlap is not Overlap.ALLOW and self._is_running(state)
            plans = plan_ticks(state, due, running=running)
            behind = state.last_saga_id or ""
            for plan in plans:
                if self._is_stopping():
                    return False
                match plan:
                    case TickStart(tick):
                        started = self._start(schedule, declaration, definition, tick, now)
                        if started is None and declaration.overlap is not Overlap.ALLOW:
                            return True  # what follows was planned for a saga that runs
                        behind = started or behind
                    case TickQueue(tick):
                        self._append(schedule, QueueTick(schedule.name, tick, behind), now)
                    case TickSkip(first, last, ticks, why, more):
                        detail = f"saga {behind} had not ended" if why is SkipCause.OVERLAP else None
                        self._skip(schedule, PendingTick(first), last, ticks, why, detail, now, more=more)
        except ScheduleMoved:
            return True
        return bool(plans)

    # One tick

    def _start(
        self,
        schedule: Schedule,
        declaration: DeclaredSchedule,
        definition: Definition,
        tick: PendingTick,
        now: datetime,
    ) -> str | None:
        """Start the saga of a tick and return its id; or record why it is not started, and return None.

        Raises `ScheduleMoved` when others wrote to the schedule.
        """
        self._context.definition_versions.pin_fingerprint(definition)
        saga_id, failure = "", None
        try:
            saga_start = self._saga_start(schedule, declaration, definition, tick)
            saga_id = saga_start.saga_id
            if self._try_start(schedule, saga_start, tick, now):
                return saga_id
        except NotStartable as error:
            failure = error
        if failure is not None and not (saga_id and self._exists(saga_id)):
            _log_failure(schedule, tick, failure)
            why, detail = SkipCause.FAILED, str(failure)
        else:  # participants that began with a saga refuse to begin with it again
            why, detail = SkipCause.EXISTS, f"saga {saga_id} was there already"
        self._skip(schedule, tick, tick.at, 1, why, detail, now)
        return None

    def _saga_start(
        self, schedule: Schedule, declaration: DeclaredSchedule, definition: Definition, tick: PendingTick
    ) -> SagaStart:
        try:
            value = schedule.input_for(tick, declaration.timezone)
            return SagaStart.of(definition, value, key_of(schedule.name, tick), actor=f"schedule {schedule.name}")
        except BaseException as error:
            if is_interruption(error):
                raise
            raise _not_startable(error) from error

    def _try_start(self, schedule: Schedule, saga_start: SagaStart, tick: PendingTick, now: datetime) -> bool:
        """Append a tick and its saga's start; return False if the saga exists.

        Raises `ScheduleMoved`, and `NotStartable`.
        """
        started = StartTick(schedule.name, tick, saga_start.saga_id)
        written = self._streams.append_once(partial(self._draft, saga_start, started, now), saga_start.due(now, None))
        if not written and not self._exists(saga_start.saga_id):
            raise ScheduleMoved(f"schedule {schedule.name!r} was written to")
        return written

    def _draft(self, saga_start: SagaStart, started: StartTick, now: datetime) -> AppendBuilder:
        draft = self._streams.cache.draft(saga_start.saga_id, Meta(actor=f"schedule {started.schedule}"))
        draft.handle([started], now, beginning=True)
        try:
            draft.record(1, saga_start.fact(now))
            draft.handle(saga_start.commands(), now, beginning=True)
        except (NotDecidableYet, *_PASSES):
            raise
        except BaseException as error:
            if is_interruption(error):
                raise
            raise _not_startable(error) from error
        return draft

    def _skip(
        self,
        schedule: Schedule,
        first: PendingTick,
        last: datetime,
        ticks: int,
        why: SkipCause,
        detail: str | None,
        now: datetime,
        *,
        more: bool = False,
    ) -> None:
        self._append(schedule, SkipTicks(schedule.name, first, last, ticks, why, detail, more), now)

    def _append(self, schedule: Schedule, command: Command, now: datetime) -> None:
        """Append what a command leads to, unless others wrote to the schedule, who may have decided the same."""
        if not self._streams.append_once(partial(self._streams.draft, schedule.name, [command], now)):
            raise ScheduleMoved(f"schedule {schedule.name!r} was written to")

    def _exists(self, saga_id: str) -> bool:
        return bool(self._context.backend.stream(saga_id, upto=1))

    def _is_running(self, state: ScheduleState) -> bool:
        """Whether the saga that a schedule started last has not ended; it is read on from where it was last read."""
        if state.last_saga_id is None:
            return False
        run = self._runs.pop(state.name, None)
        if run is None or run.saga_id != state.last_saga_id:
            run = SagaState(state.last_saga_id)
        rows = self._context.backend.stream(run.saga_id, after=run.version)
        run = fold_all(run, [self._context.codec.decode(row).event for row in rows])
        if run.end is not None or run.started_at is None:
            return False
        self._runs[state.name] = run
        return True


def _owed(state: ScheduleState, now: datetime) -> tuple[datetime, ...]:
    """Return the due ticks that this worker cannot start, such as those of a saga it lacks."""
    if state.decided_through is None:
        return ()
    ticks = timetable_in(state).latest(state.decided_through, now, TICKS_MAX)
    return tuple(tick for tick in ticks if not state.is_passed_over(tick))


def _log_failure(schedule: Schedule, tick: PendingTick, failure: NotStartable) -> None:
    """Log that a tick starts nothing. The text of the error, which may have values of the app, is in the traceback."""
    error = failure.__cause__ or failure
    extra = {"schedule": schedule.name, "error_type": type_name(error)}
    log_traceback(
        log, logging.ERROR, "schedule %s starts nothing at %s", (schedule.name, tick.at.isoformat()), error, extra
    )


def _not_startable(error: BaseException) -> NotStartable:
    text = f"{type_name(error)}: {error_text(error, parts_of(error))}"
    return NotStartable(shortened(text, DETAIL_CHARACTERS_MAX))
