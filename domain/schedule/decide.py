"""Commands to a schedule, and what each leads to: the schedule is a participant with a stream of its own.

Several workers may decide about the same tick. Each command is decided on the schedule's newest state, in the append
that also starts the saga, so one of them starts it and the others are refused by `ScheduleMoved`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, get_args

from ..event import Event
from ..participant import Command, Participant, Refused
from .events import (
    SCHEDULE_EVENTS,
    DeclaredSchedule,
    ScheduleBackfilled,
    ScheduleDeclared,
    ScheduleListed,
    SchedulePaused,
    ScheduleResumed,
    ScheduleSetBack,
    ScheduleTickQueued,
    ScheduleTicksSkipped,
    ScheduleTickStarted,
    ScheduleTriggered,
    SkipCause,
    TickCause,
)
from .state import PendingTick, ScheduleState, evolve, same_times, set_back_to

CATEGORY: Final = "saga_schedule"
"""The prefix of the streams of schedules."""
CATALOG: Final = "saga_schedules-all"
"""The stream with the names of all schedules of a ledger."""
TICKS_MAX: Final = 1_000
"""The most ticks that a schedule catches up on, and that one backfill may have."""
QUEUED_MAX: Final = 100
"""The most ticks of a timetable that wait for the saga of an earlier one."""
CLOCK_AHEAD_MAX: Final = timedelta(hours=1)
"""If ticks are decided whose time is further away than this, the clock was wrong when they were."""


class ScheduleMoved(Refused):
    """The schedule was written to meanwhile, and the decision no longer applies."""


# Commands


class ListSchedule(Command, frozen=True):
    """Add a schedule to those of the ledger."""

    schedule: str


class DeclareSchedule(Command, frozen=True):
    """Record how an app declares the schedule, and the ticks that its earlier times still owed."""

    schedule: str
    declaration: DeclaredSchedule
    owed: tuple[datetime, ...] = ()


class StartTick(Command, frozen=True):
    """Record that a tick starts a saga."""

    schedule: str
    tick: PendingTick
    saga_id: str


class QueueTick(Command, frozen=True):
    """Let a tick wait for the saga of an earlier one."""

    schedule: str
    tick: datetime
    behind: str


class SkipTicks(Command, frozen=True):
    """Record that ticks start no saga."""

    schedule: str
    first: PendingTick
    last: datetime
    ticks: int
    why: SkipCause
    detail: str | None = None
    more: bool = False


class SetScheduleBack(Command, frozen=True):
    """Decide the ticks from now on again, after the clock had been ahead."""

    schedule: str


class PauseSchedule(Command, frozen=True):
    """Stop the timetable."""

    schedule: str
    actor: str
    reason: str


class ResumeSchedule(Command, frozen=True):
    """Let the timetable go on."""

    schedule: str
    actor: str
    reason: str


class TriggerSchedule(Command, frozen=True):
    """Ask for one saga now."""

    schedule: str
    actor: str
    reason: str


class BackfillSchedule(Command, frozen=True):
    """Ask for the sagas of past ticks."""

    schedule: str
    ticks: tuple[datetime, ...]
    actor: str
    reason: str


ScheduleCommand = (
    DeclareSchedule
    | StartTick
    | QueueTick
    | SkipTicks
    | SetScheduleBack
    | PauseSchedule
    | ResumeSchedule
    | TriggerSchedule
    | BackfillSchedule
)


# Decision


def decide(state: ScheduleState, command: ScheduleCommand, at: datetime) -> Sequence[Event]:
    """Returns the events that a command leads to. Raises `ScheduleMoved`, or `Refused` for what a person asked."""
    name = command.schedule
    match command:
        case DeclareSchedule(declaration=declaration, owed=owed):
            return _declared(state, name, declaration, owed, at)
        case StartTick(tick=tick, saga_id=saga_id):
            _check_undecided(state, tick)
            return [ScheduleTickStarted(at, name, tick.at, saga_id, tick.cause, tick.number)]
        case QueueTick(tick=tick, behind=behind):
            _check_undecided(state, PendingTick(tick))
            if PendingTick(tick) in state.pending:
                raise ScheduleMoved(f"tick {tick.isoformat()} of schedule {name!r} waits already")
            return [ScheduleTickQueued(at, name, tick, behind)]
        case SkipTicks(first=first, last=last, ticks=ticks, why=why, detail=detail, more=more):
            _check_undecided(state, first)
            return [ScheduleTicksSkipped(at, name, first.at, last, ticks, why, detail, first.cause, first.number, more)]
        case SetScheduleBack():
            if not is_ahead(state, at) or state.decided_through is None:
                raise ScheduleMoved(f"schedule {name!r} was set back already")
            return [ScheduleSetBack(at, name, state.decided_through)]
        case _:
            return _operated(state, command, at)


def is_ahead(state: ScheduleState, now: datetime) -> bool:
    """Whether ticks were decided that are so far away that the clock must have been wrong."""
    through = state.decided_through
    return through is not None and through - set_back_to(state, now) > CLOCK_AHEAD_MAX


def _declared(
    state: ScheduleState, name: str, declaration: DeclaredSchedule, owed: tuple[datetime, ...], at: datetime
) -> Sequence[Event]:
    before = state.declaration
    if before == declaration:
        return []
    declared = ScheduleDeclared(at, name, declaration)
    through = state.decided_through
    left = [tick for tick in owed if through is not None and tick > through]  # another worker may have decided some
    if not left or before is None or same_times(before, declaration):
        return [declared]
    return [ScheduleTicksSkipped(at, name, left[0], left[-1], len(left), SkipCause.CHANGED), declared]


def _check_undecided(state: ScheduleState, tick: PendingTick) -> None:
    """Raise `ScheduleMoved` unless a tick waits, or is one of the timetable that nothing was decided about."""
    is_due = tick in state.pending
    if tick.cause is TickCause.TIMETABLE:
        is_due = is_due or state.decided_through is None or tick.at > state.decided_through
        is_due = is_due and state.paused is None
    if not is_due:
        raise ScheduleMoved(f"tick {tick.at.isoformat()} of schedule {state.name!r} was decided already")


def _operated(state: ScheduleState, command: ScheduleCommand, at: datetime) -> Sequence[Event]:
    name = command.schedule
    match command:
        case PauseSchedule(actor=actor, reason=reason):
            if state.paused is not None:
                raise Refused(
                    f"schedule {name!r} is paused already, since {state.paused.at.isoformat()} by {state.paused.actor}"
                )
            return [SchedulePaused(at, name, actor, reason)]
        case ResumeSchedule(actor=actor, reason=reason):
            if state.paused is None:
                raise Refused(f"schedule {name!r} is not paused")
            return [ScheduleResumed(at, name, actor, reason)]
        case TriggerSchedule(actor=actor, reason=reason):
            _check_room(state, 1)
            return [ScheduleTriggered(at, name, state.triggers + 1, actor, reason)]
        case BackfillSchedule(ticks=ticks, actor=actor, reason=reason):
            waiting = {each.at for each in state.pending}
            added = tuple(tick for tick in ticks if tick not in waiting)
            _check_room(state, len(added))
            return [ScheduleBackfilled(at, name, added, actor, reason)] if added else []
        case _:
            raise AssertionError(f"unreachable: {command}")


def _check_room(state: ScheduleState, ticks: int) -> None:
    if len(state.pending) + ticks > TICKS_MAX:
        raise Refused(
            f"schedule {state.name!r} has {len(state.pending):,} ticks that wait to start, of {TICKS_MAX:,} that it "
            "may have: run a worker that declares it, or ask for fewer"
        )


def _key(command: ScheduleCommand) -> str:
    return command.schedule


SCHEDULES: Final = Participant(
    CATEGORY,
    initial=ScheduleState(),
    state_type=ScheduleState,
    events=SCHEDULE_EVENTS,
    commands=dict.fromkeys(get_args(ScheduleCommand), _key),
    decide=decide,
    evolve=evolve,
)


def _listed(names: tuple[str, ...], command: ListSchedule, at: datetime) -> Sequence[Event]:
    return [] if command.schedule in names else [ScheduleListed(at, command.schedule)]


def _with_listed(names: tuple[str, ...], event: Event) -> tuple[str, ...]:
    return (*names, event.schedule) if isinstance(event, ScheduleListed) else names


SCHEDULE_CATALOG: Final = Participant[tuple[str, ...]](
    CATALOG.partition("-")[0],
    initial=(),
    state_type=tuple[str, ...],
    events=(ScheduleListed,),
    commands={ListSchedule: lambda _: CATALOG.partition("-")[2]},
    decide=_listed,
    evolve=_with_listed,
)
"""The names of the schedules of a ledger: its one stream says which streams of schedules there are."""
