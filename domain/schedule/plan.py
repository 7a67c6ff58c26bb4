"""What is to be done about a schedule's ticks at a time: a pure decision on its state and its timetable."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from .decide import QUEUED_MAX, TICKS_MAX, is_ahead
from .events import CatchUp, DeclaredSchedule, Overlap, SkipCause, TickCause
from .state import PendingTick, ScheduleState

ON_TIME: Final = timedelta(seconds=60)
"""A tick that is no older than this was not missed, however the schedule catches up."""


class Timetable(Protocol):
    """The ticks of a cron expression in a time zone, as instants in UTC."""

    def latest(self, after: datetime, upto: datetime, limit: int) -> Sequence[datetime]:
        """Returns the ticks with `after < tick <= upto`, in order; the latest ones, if there are more than `limit`."""
        ...


class DueTicks(NamedTuple):
    """The ticks of a timetable that are due."""

    start: Sequence[datetime] = ()
    """Those that start, as far as the overlap allows."""
    missed: Sequence[datetime] = ()
    """Earlier ones that the schedule does not catch up on, as far as they were counted."""
    more_missed: bool = False
    """Whether still earlier ones were not counted."""

    def __bool__(self) -> bool:
        return bool(self.start or self.missed)


class TickStart(NamedTuple):
    """A tick starts its saga."""

    tick: PendingTick


class TickQueue(NamedTuple):
    """A tick waits for the saga of an earlier one."""

    tick: datetime


class TickSkip(NamedTuple):
    """Ticks in a row start no saga."""

    first: datetime
    last: datetime
    ticks: int
    why: SkipCause
    more: bool = False


TickPlan = TickStart | TickQueue | TickSkip


def due_ticks(state: ScheduleState, timetable: Timetable, now: datetime) -> DueTicks:
    """Returns which ticks of the timetable have come since the last one that was decided."""
    declaration, through = state.declaration, state.decided_through
    if declaration is None or through is None or state.paused is not None or is_ahead(state, now):
        return DueTicks()
    waiting = {each.at for each in state.pending if each.cause is TickCause.TIMETABLE}
    found = timetable.latest(through, now, TICKS_MAX + 1)
    more = len(found) > TICKS_MAX
    before = through if state.decided_before is None else state.decided_before
    ticks = [
        tick
        for tick in found[-TICKS_MAX:]
        if tick not in waiting
        and not state.is_passed_over(tick)
        and (tick > before or now - tick <= ON_TIME)  # what had been decided before the clock was set back stays so
    ]
    kept = _caught_up(declaration, ticks, now)
    return DueTicks(ticks[len(ticks) - kept :], ticks[: len(ticks) - kept], more)


def plan_ticks(state: ScheduleState, due: DueTicks, *, running: bool) -> list[TickPlan]:
    """Returns what becomes of the ticks that wait and of those that are due, in the order in which it is to be done.

    `running`: whether the saga that the schedule started last has not ended.
    """
    plans: list[TickPlan] = []
    if due.missed:
        plans.append(TickSkip(due.missed[0], due.missed[-1], len(due.missed), SkipCause.MISSED, due.more_missed))
    overlap = Overlap.SKIP if state.declaration is None else state.declaration.overlap
    waiting = [each for each in state.pending if state.paused is None or each.cause is not TickCause.TIMETABLE]
    if overlap is Overlap.ALLOW:
        return [*plans, *map(TickStart, waiting), *(TickStart(PendingTick(tick)) for tick in due.start)]
    due_now = list(due.start)
    if not running:
        first = [each for each in waiting if each.cause is not TickCause.BACKFILL]
        if first:
            plans.append(TickStart(first[0]))
        elif due_now:
            plans.append(TickStart(PendingTick(due_now.pop(0))))
        elif waiting:  # a backfill is in no hurry
            plans.append(TickStart(waiting[0]))
    room = 0 if overlap is Overlap.SKIP else max(QUEUED_MAX - state.queued, 0)
    plans += map(TickQueue, due_now[:room])
    left = due_now[room:]
    if left:
        why = SkipCause.OVERLAP if overlap is Overlap.SKIP else SkipCause.QUEUE_FULL
        plans.append(TickSkip(left[0], left[-1], len(left), why))
    return plans


def _caught_up(declaration: DeclaredSchedule, ticks: Sequence[datetime], now: datetime) -> int:
    """Returns how many of these ticks start, counted from the latest."""
    if declaration.catch_up is CatchUp.ALL:
        return len(ticks)
    window = ON_TIME
    if declaration.catch_up is CatchUp.WITHIN:
        window = max(window, timedelta(seconds=declaration.catch_up_seconds or 0))
    in_time = sum(now - tick <= window for tick in ticks)
    return max(in_time, min(len(ticks), 1)) if declaration.catch_up is CatchUp.LATEST else in_time
