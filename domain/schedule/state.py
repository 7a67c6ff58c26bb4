"""A schedule's state: the fold of its events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ..event import Event
from .events import (
    DeclaredSchedule,
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

PAUSES_MAX: Final = 100
"""The most pauses that are remembered while no worker decides about ticks."""


class PendingTick(Struct, frozen=True, omit_defaults=True):
    """A tick that was decided to start, and has not started yet."""

    at: datetime
    cause: TickCause = TickCause.TIMETABLE
    number: int | None = None


class SchedulePause(Struct, frozen=True):
    """That a person paused a schedule."""

    at: datetime
    actor: str
    reason: str


class PassedOver(Struct, frozen=True):
    """The time of a pause that is over: no tick after its begin starts, up to and with its end."""

    begin: datetime
    end: datetime


class ScheduleState(Struct, frozen=True, omit_defaults=True):
    """What is known of a schedule."""

    name: str = ""
    declaration: DeclaredSchedule | None = None
    declared_at: datetime | None = None
    times_since: datetime | None = None
    """When its present times were declared: none before counts."""
    decided_through: datetime | None = None
    """Every tick of the timetable up to here was decided: it started, waits, or was skipped."""
    decided_before: datetime | None = None
    """Up to where ticks had been decided before the clock was set back: those that are late now stay as they were."""
    paused: SchedulePause | None = None
    passed_over: tuple[PassedOver, ...] = ()
    """Earlier pauses that end beyond `decided_through`."""
    pending: tuple[PendingTick, ...] = ()
    """Ticks that wait to start, in order."""
    last_tick: datetime | None = None
    """The tick that started a saga last."""
    last_saga_id: str | None = None
    started: int = 0
    """How many ticks started a saga."""
    skipped: int = 0
    """How many ticks were skipped, as far as they were counted."""
    triggers: int = 0

    @property
    def queued(self) -> int:
        """How many ticks of the timetable wait for the saga of an earlier one."""
        return sum(each.cause is TickCause.TIMETABLE for each in self.pending)

    def is_passed_over(self, tick: datetime) -> bool:
        """Whether a tick falls into a pause."""
        if self.paused is not None and tick > self.paused.at:
            return True
        return any(each.begin < tick <= each.end for each in self.passed_over)


def same_times(one: DeclaredSchedule, other: DeclaredSchedule) -> bool:
    """Whether two declarations have the same ticks."""
    return (one.cron, one.timezone) == (other.cron, other.timezone)


def set_back_to(state: ScheduleState, now: datetime) -> datetime:
    """Returns up to where ticks count as decided if the clock says this, and had been ahead."""
    return now if state.times_since is None else max(now, state.times_since)


def evolve(state: ScheduleState, event: Event) -> ScheduleState:
    """Returns the state after an event."""
    match event:
        case ScheduleDeclared(schedule=name, declaration=declaration):
            before = state.declaration
            if before is None or not same_times(before, declaration):
                state = replace(_decided(state, event.at), times_since=event.at)
            return replace(state, name=name, declaration=declaration, declared_at=event.at)
        case ScheduleTickStarted(tick=tick, cause=cause, number=number):
            return replace(
                _over(state, cause, tick, lambda each: each == PendingTick(tick, cause, number)),
                last_tick=tick,
                last_saga_id=event.saga_id,
                started=state.started + 1,
            )
        case ScheduleTicksSkipped(first=first, last=last, cause=cause, number=number):
            state = _over(
                state,
                cause,
                last,
                lambda each: (each.cause, each.number) == (cause, number) and first <= each.at <= last,
            )
            return replace(state, skipped=state.skipped + event.ticks)
        case ScheduleTickQueued(tick=tick):
            return replace(_decided(state, tick), pending=(*state.pending, PendingTick(tick)))
        case ScheduleSetBack(decided_through=before):
            latest = before if state.decided_before is None else max(before, state.decided_before)
            return replace(state, decided_through=set_back_to(state, event.at), decided_before=latest)
        case SchedulePaused(actor=actor, reason=reason):
            return replace(state, paused=SchedulePause(event.at, actor, reason))
        case ScheduleResumed():
            over = () if state.paused is None else (PassedOver(state.paused.at, event.at),)
            return replace(state, paused=None, passed_over=(*state.passed_over, *over)[-PAUSES_MAX:])
        case ScheduleTriggered(number=number):
            pending = (*state.pending, PendingTick(event.at, TickCause.TRIGGER, number))
            return replace(state, pending=pending, triggers=number)
        case ScheduleBackfilled(ticks=ticks):
            added = tuple(PendingTick(tick, TickCause.BACKFILL) for tick in ticks)
            return replace(state, pending=(*state.pending, *added))
        case _:
            return state


def _over(
    state: ScheduleState, cause: TickCause, tick: datetime, is_over: Callable[[PendingTick], bool]
) -> ScheduleState:
    """Returns the state in which some ticks no longer wait; what people asked for is beside the timetable."""
    if state.pending:
        state = replace(state, pending=tuple(each for each in state.pending if not is_over(each)))
    return _decided(state, tick) if cause is TickCause.TIMETABLE else state


def _decided(state: ScheduleState, through: datetime) -> ScheduleState:
    """Returns the state in which the timetable is decided up to an instant."""
    if state.decided_through is not None:
        through = max(state.decided_through, through)
    passed_over = tuple(each for each in state.passed_over if each.end > through)
    return replace(state, decided_through=through, passed_over=passed_over)
