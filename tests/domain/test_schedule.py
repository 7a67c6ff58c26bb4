"""What becomes of a schedule's ticks: pure decisions on its state, its times and the clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from sagaledger.domain.event import Event
from sagaledger.domain.participant import Refused
from sagaledger.domain.schedule.decide import (
    QUEUED_MAX,
    TICKS_MAX,
    BackfillSchedule,
    DeclareSchedule,
    PauseSchedule,
    QueueTick,
    ResumeSchedule,
    ScheduleCommand,
    ScheduleMoved,
    SetScheduleBack,
    SkipTicks,
    StartTick,
    TriggerSchedule,
    decide,
)
from sagaledger.domain.schedule.events import (
    CatchUp,
    DeclaredSchedule,
    Overlap,
    ScheduleDeclared,
    ScheduleTicksSkipped,
    SkipCause,
    TickCause,
)
from sagaledger.domain.schedule.plan import DueTicks, TickQueue, TickSkip, TickStart, due_ticks, plan_ticks
from sagaledger.domain.schedule.state import PAUSES_MAX, PendingTick, ScheduleState, evolve

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class EveryMinute:
    """A timetable with a tick at each full minute."""

    def latest(self, after: datetime, upto: datetime, limit: int) -> Sequence[datetime]:
        first = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
        count = (upto - first) // timedelta(minutes=1) + 1
        return [first + timedelta(minutes=n) for n in range(max(0, count - limit), count)]


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def declared(
    overlap: Overlap = Overlap.SKIP, catch_up: CatchUp = CatchUp.LATEST, seconds: float | None = None
) -> DeclareSchedule:
    return DeclareSchedule("s", DeclaredSchedule("* * * * *", "UTC", "saga", 1, overlap, catch_up, seconds))


def state_of(*commands: tuple[float, ScheduleCommand], state: ScheduleState | None = None) -> ScheduleState:
    """The state after commands, each at a minute."""
    state = state or ScheduleState()
    for minute, command in commands:
        state = after(state, decide(state, command, at(minute)))
    return state


def after(state: ScheduleState, events: Sequence[Event]) -> ScheduleState:
    for event in events:
        state = evolve(state, event)
    return state


def due(state: ScheduleState, minute: float) -> DueTicks:
    return due_ticks(state, EveryMinute(), at(minute))


@pytest.mark.parametrize(
    ("catch_up", "seconds", "minute", "starts", "missed"),
    [
        (CatchUp.LATEST, None, 0.5, [], []),
        (CatchUp.LATEST, None, 1, [1], []),
        (CatchUp.LATEST, None, 5.5, [5], [1, 2, 3, 4]),
        (CatchUp.ALL, None, 5.5, [1, 2, 3, 4, 5], []),
        (CatchUp.NONE, None, 5.5, [5], [1, 2, 3, 4]),
        (CatchUp.WITHIN, 150, 5.5, [3, 4, 5], [1, 2]),
        (CatchUp.WITHIN, 1, 5.5, [5], [1, 2, 3, 4]),
    ],
)
def test_what_was_missed_starts_as_declared(
    catch_up: CatchUp, seconds: float | None, minute: float, starts: list[int], missed: list[int]
) -> None:
    """A tick of the last minute is in time; earlier ones start by the policy, or are named as missed."""
    found = due(state_of((0, declared(catch_up=catch_up, seconds=seconds))), minute)

    assert (list(found.start), list(found.missed)) == ([at(m) for m in starts], [at(m) for m in missed])


def test_the_latest_starts_however_long_ago_and_with_none_it_does_not() -> None:
    """An hourly tick that was missed by half an hour."""

    class Hourly(EveryMinute):
        def latest(self, after: datetime, upto: datetime, limit: int) -> Sequence[datetime]:
            return [tick for tick in super().latest(after, upto, 10_000) if tick.minute == 0][-limit:]

    for catch_up, starts in ((CatchUp.LATEST, [at(60)]), (CatchUp.NONE, [])):
        found = due_ticks(state_of((0, declared(catch_up=catch_up))), Hourly(), at(90))
        assert list(found.start) == starts


def test_catching_up_is_bounded() -> None:
    """The latest thousand start; that there were more is said."""
    found = due(state_of((0, declared(catch_up=CatchUp.ALL))), TICKS_MAX + 500)

    assert (len(found.start), found.start[-1], found.more_missed) == (TICKS_MAX, at(TICKS_MAX + 500), True)


def plans(
    overlap: Overlap, due_now: Sequence[int], *, running: bool, waiting: Sequence[PendingTick] = ()
) -> list[object]:
    state = state_of((0, declared(overlap)))
    state = ScheduleState("s", state.declaration, NOON, NOON, pending=tuple(waiting))
    return list(plan_ticks(state, DueTicks([at(m) for m in due_now]), running=running))


def test_overlap_allow_starts_everything() -> None:
    """What waits first."""
    waiting = PendingTick(at(-9), TickCause.BACKFILL)
    found = plans(Overlap.ALLOW, [1, 2], running=True, waiting=[waiting])

    assert found == [TickStart(waiting), TickStart(PendingTick(at(1))), TickStart(PendingTick(at(2)))]


def test_overlap_skip_starts_one() -> None:
    """The others are skipped, in one event."""
    first = TickStart(PendingTick(at(1)))

    assert plans(Overlap.SKIP, [1, 2, 3], running=False) == [first, TickSkip(at(2), at(3), 2, SkipCause.OVERLAP)]
    assert plans(Overlap.SKIP, [1], running=True) == [TickSkip(at(1), at(1), 1, SkipCause.OVERLAP)]


def test_overlap_queue_lets_ticks_wait_in_order_up_to_a_bound() -> None:
    """The one that waits longest starts; a full queue skips."""
    assert plans(Overlap.QUEUE, [1, 2], running=False) == [TickStart(PendingTick(at(1))), TickQueue(at(2))]
    assert plans(Overlap.QUEUE, [2], running=False, waiting=[PendingTick(at(1))]) == [
        TickStart(PendingTick(at(1))),
        TickQueue(at(2)),
    ]
    full = [PendingTick(at(-n)) for n in range(QUEUED_MAX, 0, -1)]
    assert plans(Overlap.QUEUE, [1], running=True, waiting=full) == [TickSkip(at(1), at(1), 1, SkipCause.QUEUE_FULL)]


@pytest.mark.parametrize("overlap", [Overlap.SKIP, Overlap.QUEUE])
def test_what_people_ask_for_waits_and_is_never_skipped(overlap: Overlap) -> None:
    """A trigger goes before the ticks that are due, a backfill behind them."""
    trigger = PendingTick(at(-1), TickCause.TRIGGER, 1)
    backfill = PendingTick(at(-9), TickCause.BACKFILL)

    assert plans(overlap, [], running=True, waiting=[backfill, trigger]) == []
    assert plans(overlap, [], running=False, waiting=[backfill, trigger]) == [TickStart(trigger)]
    assert plans(overlap, [], running=False, waiting=[backfill]) == [TickStart(backfill)]
    assert plans(overlap, [1], running=False, waiting=[backfill]) == [TickStart(PendingTick(at(1)))]


def test_a_pause_starts_nothing_and_takes_nothing_else_away() -> None:
    """Ticks before it are caught up on afterwards, those in it are not; what people ask for starts even so."""
    paused = state_of(
        (0, declared(Overlap.ALLOW, CatchUp.ALL)),
        (2.5, PauseSchedule("s", "ann", "maintenance")),
        (3, TriggerSchedule("s", "ann", "test")),
    )

    assert not due(paused, 5)
    assert [minute for minute in range(6) if paused.is_passed_over(at(minute))] == [3, 4, 5]
    queued = state_of((0, declared(Overlap.QUEUE)), (1, QueueTick("s", at(1), "saga-0")))
    assert plan_ticks(queued, DueTicks(), running=False) == [TickStart(PendingTick(at(1)))]
    queued = state_of((2, PauseSchedule("s", "ann", "maintenance")), state=queued)
    assert plan_ticks(queued, DueTicks(), running=False) == []
    assert plan_ticks(paused, DueTicks(), running=False) == [TickStart(PendingTick(at(3), TickCause.TRIGGER, 1))]
    resumed = state_of((5.5, ResumeSchedule("s", "ann", "done")), state=paused)
    assert list(due(resumed, 7).start) == [at(1), at(2), at(6), at(7)]
    later = state_of((7, StartTick("s", PendingTick(at(7)), "saga-x")), state=resumed)
    assert later.passed_over == ()


def test_the_latest_pauses_are_remembered() -> None:
    """A hundred of them, if no worker decides about ticks meanwhile."""
    state = state_of((0, declared()))
    for n in range(PAUSES_MAX + 5):
        state = state_of((n, PauseSchedule("s", "ann", "x")), (n + 0.5, ResumeSchedule("s", "ann", "x")), state=state)

    assert [each.begin for each in state.passed_over] == [at(n) for n in range(5, PAUSES_MAX + 5)]


def test_other_times_count_from_their_declaration_on() -> None:
    """What the earlier times still owed is on record as skipped; the same times count on."""
    state = state_of((0, declared()))
    other = DeclaredSchedule("0 3 * * *", "UTC", "saga", 1)

    events = decide(state, DeclareSchedule("s", other, (at(1), at(2))), at(2.5))
    assert [type(event) for event in events] == [ScheduleTicksSkipped, ScheduleDeclared]
    assert after(state, events).decided_through == at(2.5)
    started = state_of((1, StartTick("s", PendingTick(at(1)), "saga-1")), state=state)  # by another worker meanwhile
    [skipped, _] = decide(started, DeclareSchedule("s", other, (at(1), at(2))), at(2.5))
    assert isinstance(skipped, ScheduleTicksSkipped)
    assert (skipped.first, skipped.last, skipped.ticks) == (at(2), at(2), 1)
    assert decide(state, declared(), at(3)) == []
    raised = state_of((3, DeclareSchedule("s", DeclaredSchedule("* * * * *", "UTC", "saga", 2))), state=state)
    assert raised.decided_through == NOON


def test_a_tick_is_decided_once() -> None:
    """Whatever a second worker decides about it is refused; so is a decision that a pause came before."""
    state = state_of((0, declared()), (1, StartTick("s", PendingTick(at(1)), "saga-1")))
    tick = PendingTick(at(1))

    for command in (
        StartTick("s", tick, "saga-1"),
        QueueTick("s", at(1), "saga-0"),
        SkipTicks("s", tick, at(1), 1, SkipCause.MISSED),
        StartTick("s", PendingTick(at(1), TickCause.BACKFILL), "saga-1"),
        StartTick("s", PendingTick(at(1), TickCause.TRIGGER, 1), "saga-1"),
    ):
        with pytest.raises(ScheduleMoved):
            decide(state, command, at(2))
    paused = state_of((1.5, PauseSchedule("s", "ann", "x")), state=state)
    with pytest.raises(ScheduleMoved):
        decide(paused, StartTick("s", PendingTick(at(2)), "saga-2"), at(2))
    waits = state_of((2, QueueTick("s", at(2), "saga-1")), state=state)
    with pytest.raises(ScheduleMoved, match="waits already"):
        decide(waits, QueueTick("s", at(2), "saga-1"), at(2))


def test_a_clock_that_was_ahead_takes_no_ticks_away() -> None:
    """If it was ahead by more than an hour, they are decided again; by less, they were early."""
    state = state_of((0, declared()), (600, SkipTicks("s", PendingTick(at(1)), at(600), 600, SkipCause.MISSED)))

    assert not due(state, 5)
    back = state_of((5, SetScheduleBack("s")), state=state)
    assert list(due(back, 6.5).start) == [at(6)]
    with pytest.raises(ScheduleMoved):
        decide(back, SetScheduleBack("s"), at(5))
    slow = state_of((0, declared()), (600, StartTick("s", PendingTick(at(600)), "saga-600")))
    slow = state_of((100, SetScheduleBack("s")), state=slow)  # a clock that is slow takes itself for right
    for slower in (slow, state_of((20, SetScheduleBack("s")), state=slow)):  # what it sets back stays decided
        assert due(slower, 602) == DueTicks([at(601), at(602)], [])
    waits = state_of((0, declared(Overlap.QUEUE, CatchUp.ALL)), (600, QueueTick("s", at(600), "saga-1")))
    waits = state_of((100, SetScheduleBack("s")), state=waits)
    assert due(waits, 600) == DueTicks([at(599)], [])  # not the one that waits
    before = state_of((0, declared()), (30, StartTick("s", PendingTick(at(30)), "saga-30")))
    with pytest.raises(ScheduleMoved):  # nothing counts that is before the declaration
        decide(before, SetScheduleBack("s"), at(-900))
    early = state_of((0, declared()), (1, StartTick("s", PendingTick(at(30)), "saga-30")))
    with pytest.raises(ScheduleMoved):
        decide(early, SetScheduleBack("s"), at(5))
    assert list(due(early, 31).start) == [at(31)]


def test_what_people_ask_for_is_refused_when_it_makes_no_sense() -> None:
    """Each with the reason."""
    state = state_of((0, declared()))
    paused = state_of((1, PauseSchedule("s", "ann", "x")), state=state)

    with pytest.raises(Refused, match="is paused already, since 2026-03-01T12:01:00"):
        decide(paused, PauseSchedule("s", "bob", "x"), at(2))
    with pytest.raises(Refused, match="is not paused"):
        decide(state, ResumeSchedule("s", "bob", "x"), at(2))
    many = tuple(at(-n) for n in range(TICKS_MAX))
    full = state_of((2, BackfillSchedule("s", many, "bob", "x")), state=state)
    with pytest.raises(Refused, match="1,000 ticks that wait to start"):
        decide(full, TriggerSchedule("s", "bob", "x"), at(2))
    assert decide(full, BackfillSchedule("s", many, "bob", "x"), at(3)) == []
