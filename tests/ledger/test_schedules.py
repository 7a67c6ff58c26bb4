"""Declaring schedules, and what people see of them and decide about them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from sagaledger import (
    App,
    DefinitionError,
    Event,
    InvalidInput,
    Ledger,
    Participant,
    Saga,
    Schedule,
    ScheduleNotFound,
    Tick,
    event,
)
from sagaledger.domain.schedule.events import ScheduleDeclared
from sagaledger.infrastructure.ledger.schedule_start import TickStarter
from sagaledger.infrastructure.ledger.schedule_streams import ScheduleStreams
from sagaledger.infrastructure.ledger.timetable import timetable_of
from sagaledger.infrastructure.ledger.view_operations import compare_view

settlement = Saga("settlement", input=str, key=lambda day: day)


@settlement.step(compensable=False)
def settle(day: str, _: Any) -> str:
    return day


def day_of(tick: Tick) -> str:
    return tick.local.date().isoformat()


def nightly(**changes: Any) -> Schedule:
    given = {"cron": "30 0 * * *", "timezone": "Europe/London", "input": day_of, **changes}
    return Schedule("nightly", settlement, **given)


def app_with(*schedules: Schedule) -> App:
    return App(sagas=[settlement], schedules=schedules)


def declare(ledger: Ledger, now: datetime | None = None) -> None:
    """What a worker does when it begins, and a look at the ticks that are due."""
    now = now or datetime.now(UTC)
    starter = TickStarter(ScheduleStreams(ledger.context))
    for schedule in ledger.app.schedules:
        starter.declare(schedule, now)
        starter.settle(schedule, now)


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger.open(url, app_with(nightly()), create=True) as opened:
        yield opened


async def _async(_: Tick) -> str:
    return ""


def _yields(_: Tick) -> Iterator[str]:
    yield ""


@pytest.mark.parametrize(
    ("declared", "match"),
    [
        (partial(nightly, cron="0 24 * * *"), "schedule 'nightly': the cron expression '0 24"),
        (partial(nightly, cron="0 0 30 2 *"), "schedule 'nightly': the cron expression"),
        (partial(nightly, timezone="London"), "schedule 'nightly': the time zone 'London'"),
        (partial(nightly, timezone=None), "the time zone must be a text"),
        (partial(nightly, overlap="never"), "overlap='never': use 'skip' or 'queue' or 'allow'"),
        (partial(nightly, catch_up="some"), "catch_up='some': use 'none', 'latest', 'all', or a number"),
        (partial(nightly, catch_up="within"), "catch_up='within'"),
        (partial(nightly, catch_up=True), "catch_up=True"),
        (partial(nightly, catch_up=-1), "more than 0"),
        (partial(nightly, catch_up=float("nan")), "more than 0"),
        (partial(nightly, input=lambda: ""), "input must take 1 arguments"),
        (partial(nightly, input=_async), "input is async: it only returns the input of a saga, make it plain"),
        (partial(nightly, input=_yields), "input yields"),
        (lambda: Schedule("", settlement, cron="* * * * *"), "schedule name ''"),
        (lambda: Schedule("a\nb", settlement, cron="* * * * *"), "printable"),
        (lambda: Schedule("x" * 151, settlement, cron="* * * * *"), "1 to 150"),
        (lambda: Schedule("x", "settlement", cron="* * * * *"), "its saga must be a Saga"),  # type: ignore[arg-type]
        (lambda: app_with(nightly(input=5)), "schedule 'nightly': the input of saga 'settlement' version 1 does not"),
        (lambda: app_with(nightly(input=None)), "give its `input`"),
        (lambda: app_with(nightly(), nightly()), "two schedules are named 'nightly'"),
        (lambda: App(schedules=[nightly()]), "no saga is registered under that name and version"),
        (lambda: App(sagas=[Saga("settlement", input=int)], schedules=[nightly()]), "has no steps"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_declared(declared: Any, match: str) -> None:
    """With an error that names the schedule and what to change."""
    with pytest.raises(DefinitionError, match=match):
        declared()


def test_another_saga_of_the_same_name_is_not_taken_for_it() -> None:
    """A schedule starts the very saga that it names."""
    other = Saga("settlement", input=str)
    other.sleep("rest", seconds=1)

    with pytest.raises(DefinitionError, match="another saga is registered under that name and version"):
        App(sagas=[other], schedules=[nightly()])


def test_an_app_may_have_used_the_names_before(sqlite_url: str) -> None:
    """An app with events of these names works as it did; with schedules, it says which name is taken."""

    @event("SchedulePaused")
    class Paused(Event, frozen=True):
        pass

    room = Participant("room", initial=0, state_type=int, events=[Paused], commands={}, decide=_none, evolve=_kept)

    with Ledger.open(sqlite_url, App(sagas=[settlement], participants=[room])) as ledger:
        ledger.start(settlement, "2026-03-01")
        with pytest.raises(DefinitionError, match="use another app, or none"):
            ledger.schedules.list()
    with pytest.raises(DefinitionError, match="the stored name 'SchedulePaused' belongs to"):
        App(sagas=[settlement], participants=[room], schedules=[nightly()])


def _none(_state: int, _command: Any, _at: datetime) -> list[Event]:
    return []


def _kept(state: int, _event: Event) -> int:
    return state


def test_the_key_of_a_tick_is_the_schedules_and_its_input_is_of_its_own_day(ledger: Ledger) -> None:
    """In the schedule's zone; half past midnight in London is the day before in UTC, in summer."""
    declare(ledger, datetime(2026, 6, 30, 12, tzinfo=UTC))
    declare(ledger, datetime(2026, 6, 30, 23, 30, tzinfo=UTC))

    saga_id = "settlement-nightly@2026-06-30T23:30:00Z"
    assert ledger.schedules.get("nightly").last_saga_id == saga_id
    [started] = ledger.history(saga_id, participants=False)
    assert bytes(started.event.input) == b'"2026-07-01"'  # type: ignore[attr-defined]


def test_what_is_declared_is_recorded_when_it_changes(ledger: Ledger, url: str) -> None:
    """Not each time; the list says it, also to a program without the app."""
    declare(ledger)
    declare(ledger)
    with Ledger.open(url, app_with(nightly(overlap="queue", catch_up=timedelta(hours=2)))) as changed:
        declare(changed)
    with Ledger.open(url) as bare:
        [listed] = bare.schedules.list()
        declared = [r.event for r in bare.schedules.history("nightly") if isinstance(r.event, ScheduleDeclared)]

    assert [each.declaration.overlap for each in declared] == ["skip", "queue"]
    assert (listed.overlap, listed.catch_up, listed.catch_up_seconds) == ("queue", "within", 7200.0)
    assert (listed.declared, listed.cron, listed.timezone) == (False, "30 0 * * *", "Europe/London")
    assert listed.next_tick is not None
    assert ledger.schedules.get("nightly").declared


def test_a_schedule_that_no_app_declares_starts_nothing(ledger: Ledger, url: str) -> None:
    """It is listed as it was."""
    declare(ledger, datetime(2026, 6, 29, 12, tzinfo=UTC))
    with Ledger.open(url, App(sagas=[settlement])) as without:
        declare(without, datetime(2026, 7, 29, 12, tzinfo=UTC))

        assert [(each.name, each.declared, each.started) for each in without.schedules.list()] == [
            ("nightly", False, 0)
        ]


def test_ticks_that_other_times_owed_are_settled_before_the_change(ledger: Ledger, url: str) -> None:
    """A deployment at noon that changes the times does not lose the night's tick."""
    declare(ledger, datetime(2026, 6, 29, 12, tzinfo=UTC))
    with Ledger.open(url, app_with(nightly(cron="0 5 * * *"))) as changed:
        declare(changed, datetime(2026, 6, 30, 12, tzinfo=UTC))
        info = changed.schedules.get("nightly")

    assert (info.started, info.last_tick) == (1, datetime(2026, 6, 29, 23, 30, tzinfo=UTC))
    assert info.decided_through == datetime(2026, 6, 30, 12, tzinfo=UTC)


def test_a_worker_that_is_stopped_meanwhile_leaves_the_change_to_the_next(ledger: Ledger, url: str) -> None:
    """It starts no tick any more, so the ticks that the earlier times owe must not count as skipped."""
    declare(ledger, datetime(2026, 6, 29, 12, tzinfo=UTC))
    with Ledger.open(url, app_with(nightly(cron="0 5 * * *"))) as changed:
        stopped = TickStarter(ScheduleStreams(changed.context), lambda: True)
        stopped.declare(changed.app.schedules[0], datetime(2026, 6, 30, 12, tzinfo=UTC))
        info = changed.schedules.get("nightly")

    assert (info.cron, info.skipped) == ("30 0 * * *", 0)


def test_what_does_not_exist_is_not_found(ledger: Ledger) -> None:
    """Whatever is asked of it."""
    schedules = ledger.schedules

    assert schedules.list() == []
    for ask in (
        schedules.get,
        schedules.next_ticks,
        schedules.history,
        partial(schedules.pause, actor="ann", reason="x"),
        partial(schedules.trigger, actor="ann", reason="x"),
        partial(schedules.backfill, since=datetime.now(UTC), until=datetime.now(UTC), actor="ann", reason="x"),
    ):
        with pytest.raises(ScheduleNotFound, match="there is no schedule 'weekly'"):
            ask("weekly")


def test_a_backfill_is_of_past_ticks_that_were_not_started(ledger: Ledger) -> None:
    """Each is one saga, one after the other; asked for again there is nothing to do; too many are refused."""
    now = datetime.now(UTC)
    declare(ledger, now - timedelta(days=3))
    declare(ledger, now)

    asked = ledger.schedules.backfill("nightly", now - timedelta(days=6), now, actor="ann", reason="late")

    caught_up_on = ledger.schedules.get("nightly").last_tick
    ticks = timetable_of("30 0 * * *", "Europe/London").latest(now - timedelta(days=6), now, 100)
    assert list(asked.ticks) == [tick for tick in ticks if tick != caught_up_on]
    waiting = ledger.schedules.get("nightly").waiting
    assert waiting == len(asked.ticks) >= 4
    again = ledger.schedules.backfill("nightly", now - timedelta(days=6), now, actor="ann", reason="late")
    assert ledger.schedules.get("nightly").waiting == waiting
    assert again.position is not None
    for long_ago in (now - timedelta(days=2_000), datetime(1, 1, 1, tzinfo=UTC)):
        with pytest.raises(InvalidInput, match="more than 1,000 ticks"):
            ledger.schedules.backfill("nightly", long_ago, now, actor="ann", reason="late")
    none = ledger.schedules.backfill("nightly", now, now + timedelta(days=9), actor="ann", reason="future")
    assert none == (None, ())


def test_the_next_ticks_are_shown(ledger: Ledger) -> None:
    """As many as asked for, in UTC."""
    declare(ledger)

    ticks = ledger.schedules.next_ticks("nightly", 3)

    assert [tick.minute for tick in ticks] == [30] * 3
    assert ledger.schedules.get("nightly").next_tick == ticks[0] > datetime.now(UTC)
    with pytest.raises(InvalidInput, match="from 1 to 1,000"):
        ledger.schedules.next_ticks("nightly", 0)


def test_the_last_events_are_read_alone(ledger: Ledger) -> None:
    """Those of years stay where they are; if there are fewer than asked for, all are returned."""
    declare(ledger)
    for _ in range(3):
        ledger.schedules.pause("nightly", actor="ann", reason="closed")
        ledger.schedules.resume("nightly", actor="ann", reason="open")
    history = ledger.schedules.history("nightly")

    assert [each.version for each in history] == list(range(1, 8))
    assert ledger.schedules.history("nightly", last=2) == history[-2:]
    assert ledger.schedules.history("nightly", last=100) == history


def test_the_view_has_what_the_events_say(ledger: Ledger) -> None:
    """One row for each schedule; it is what a fold of its events makes."""
    declare(ledger, datetime(2026, 6, 28, 12, tzinfo=UTC))
    declare(ledger, datetime(2026, 6, 30, 12, tzinfo=UTC))
    ledger.schedules.pause("nightly", actor="ann", reason="closed")
    projector = ledger.projector()
    projector.catch_up()
    projector.stop()

    [row] = ledger.query("schedules").rows
    info = ledger.schedules.get("nightly")
    assert info.paused is not None
    assert row == {
        "schedule": "nightly",
        "status": "paused",
        "paused_at": info.paused.at,
        "paused_by": "ann",
        "pause_reason": "closed",
        **{name: getattr(info, name) for name in row.keys() & set(info._fields)},
    }
    assert (row["started"], row["skipped"], row["last_tick"]) == (1, 1, datetime(2026, 6, 29, 23, 30, tzinfo=UTC))
    assert compare_view(ledger.context, "schedules").count == 0
