"""A schedule's state: the fold of its events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from ..event import Event
from .events import (
    Declaration,
    ScheduleBackfilled,
    ScheduleDeclared,
    SchedulePaused,
    ScheduleResumed,
    ScheduleSetBack,
    ScheduleTickQueued,
    ScheduleTicksSkipped,
    ScheduleTickStarted,
    ScheduleTriggered,
    TickCause,
)


class PendingTick(Struct, frozen=True, omit_defaults=True):
    """A tick that was decided to start, and has not started yet."""

    at: datetime
    cause: TickCause = TickCause.TIMETABLE
    number: int | None = None


class Pause(Struct, frozen=True):
    """That a person paused a schedule."""

    at: datetime
    actor: str
    reason: str


class ScheduleState(Struct, frozen=True, omit_defaults=True):
    """What is known of a schedule."""

    name: str = ""
    declaration: Declaration | None = None
    declared_at: datetime | None = None
    decided_through: datetime | None = None
    """Every tick of the timetable up to here was decided: it started, waits, or was skipped."""
    paused: Pause | None = None
    pending: tuple[PendingTick, ...] = ()
    """Ticks that wait to start, in order."""
    last_tick: datetime | None = None
    """The tick that started a saga last."""
    last_saga_id: str | None = None
    last_started_at: datetime | None = None
    started: int = 0
    """How many ticks started a saga."""
    skipped: int = 0
    """How many ticks were skipped, as far as they were counted."""
    triggers: int = 0

    @property
    def queued(self) -> int:
        """How many ticks of the timetable wait for the saga of an earlier one."""
        return sum(each.cause is TickCause.TIMETABLE for each in self.pending)


def same_times(one: Declaration, other: Declaration) -> bool:
    """Whether two declarations have the same ticks."""
    return (one.cron, one.timezone) == (other.cron, other.timezone)


def evolve(state: ScheduleState, event: Event) -> ScheduleState:
    """Returns the state after an event."""
    match event:
        case ScheduleDeclared(schedule=name, declaration=declaration):
            before = state.declaration
            kept = before is not None and same_times(before, declaration)
            through = state.decided_through if kept else _later(state.decided_through, event.at)
            return replace(state, name=name, declaration=declaration, declared_at=event.at, decided_through=through)
        case ScheduleTickStarted(tick=tick, cause=cause, number=number):
            return replace(
                _without(state, lambda each: each == PendingTick(tick, cause, number)),
                decided_through=_through(state, cause, tick),
                last_tick=tick,
                last_saga_id=event.saga_id,
                last_started_at=event.at,
                started=state.started + 1,
            )
        case ScheduleTicksSkipped(first=first, last=last, cause=cause, number=number):
            return replace(
                _without(state, lambda each: (each.cause, each.number) == (cause, number) and first <= each.at <= last),
                decided_through=_through(state, cause, last),
                skipped=state.skipped + event.ticks,
            )
        case ScheduleTickQueued(tick=tick):
            pending = (*state.pending, PendingTick(tick))
            return replace(state, pending=pending, decided_through=_later(state.decided_through, tick))
        case ScheduleSetBack():
            return replace(state, decided_through=event.at)
        case SchedulePaused(actor=actor, reason=reason):
            return replace(state, paused=Pause(event.at, actor, reason))
        case ScheduleResumed():
            return replace(state, paused=None, decided_through=_later(state.decided_through, event.at))
        case ScheduleTriggered(number=number):
            pending = (*state.pending, PendingTick(event.at, TickCause.TRIGGER, number))
            return replace(state, pending=pending, triggers=number)
        case ScheduleBackfilled(ticks=ticks):
            added = tuple(PendingTick(tick, TickCause.BACKFILL) for tick in ticks)
            return replace(state, pending=(*state.pending, *added))
        case _:
            return state


def _without(state: ScheduleState, is_over: Callable[[PendingTick], bool]) -> ScheduleState:
    if not state.pending:
        return state
    return replace(state, pending=tuple(each for each in state.pending if not is_over(each)))


def _through(state: ScheduleState, cause: TickCause, tick: datetime) -> datetime | None:
    """Returns up to where the timetable is decided after a tick; what people asked for is beside it."""
    return _later(state.decided_through, tick) if cause is TickCause.TIMETABLE else state.decided_through


def _later(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)
