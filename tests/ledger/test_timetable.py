"""The times of cron expressions in time zones, against a calculation that walks through time minute by minute."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from sagaledger import DefinitionError
from sagaledger.infrastructure.ledger.timetable import CronTimetable, timetable_of

MINUTE = timedelta(minutes=1)
BEGIN, END = datetime(2010, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
ZONES = (
    "Europe/London",
    "America/Sao_Paulo",  # put its clocks forward at midnight
    "America/St_Johns",  # changed them at 00:01 until 2011
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Apia",  # left out a whole day
    "Africa/Casablanca",  # four times a year
    "Asia/Kathmandu",  # not at all, and 45 minutes off
)
FIXED = ("30 1 * * *", "0,30 0-3 * * *", "5 0 * * *", "45 2 1-31 * SUN", "0 2 L * *", "59 23 * * *")
ELAPSED = ("*/20 * * * *", "*/30 1 * * *", "15 */2 * * *", "0 * * * *", "*/7 0 * * *")


def _changes(zone: ZoneInfo) -> Iterator[datetime]:
    """The hours in which the clocks of a zone change."""
    offset, at = BEGIN.astimezone(zone).utcoffset(), BEGIN
    while at < END:
        at += timedelta(hours=6)
        now = at.astimezone(zone).utcoffset()
        if now != offset:
            yield next(t for t in (at - timedelta(hours=h) for h in range(6)) if _changed(zone, t))
        offset = now


def _changed(zone: ZoneInfo, at: datetime) -> bool:
    return at.astimezone(zone).utcoffset() != (at - timedelta(hours=1)).astimezone(zone).utcoffset()


def _walked(cron: str, zone: ZoneInfo, begin: datetime, end: datetime, *, fixed: bool) -> list[datetime]:
    """The ticks in a span that begins at a usual time, found by looking at the wall at every minute."""
    wall_times = CronSim(cron, datetime(2000, 1, 1))  # noqa: DTZ001

    def matches(wall: datetime) -> bool:
        return (
            wall.minute in wall_times.minutes
            and wall.hour in wall_times.hours
            and wall.month in wall_times.months
            and wall_times.match_day(wall.date())
        )

    found: list[datetime] = []
    at = begin
    latest = at.astimezone(zone).replace(tzinfo=None) - MINUTE
    while at <= end:
        wall = at.astimezone(zone).replace(tzinfo=None)
        if fixed:
            due = False
            while latest < wall:  # also the times that the clocks leave out; none twice
                latest += MINUTE
                due = matches(latest) or due
        else:
            due = matches(wall)
        if due:
            found.append(at)
        at += MINUTE
    return found


@pytest.mark.parametrize("zone", ZONES)
def test_ticks_are_exact_when_clocks_change(zone: str) -> None:
    """At changes of a decade: fixed times exactly once, other expressions by the time that passes."""
    changes = list(_changes(ZoneInfo(zone)))[:20]
    assert len(changes) >= (0 if zone == "Asia/Kathmandu" else 3)

    for number, change in enumerate(changes):
        begin, end = change - timedelta(hours=3), change + timedelta(hours=5)
        fixed = FIXED[number % len(FIXED)], FIXED[(number + 1) % len(FIXED)]
        elapsed = ELAPSED[number % len(ELAPSED)]
        for cron in (*fixed[: 1 + number % 2], elapsed):
            expected = _walked(cron, ZoneInfo(zone), begin, end, fixed=cron in FIXED)
            timetable = timetable_of(cron, zone)
            assert list(timetable.latest(begin - MINUTE / 2, end, 10_000)) == expected, (cron, change)
            ahead = list(islice(timetable.after(begin - MINUTE / 2), len(expected)))
            assert ahead == expected, (cron, change)


@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        ("30 1 * * *", "Europe/London"),
        ("0 2 * * 1-5", "America/New_York"),
        ("15,45 9 1,L * *", "America/Sao_Paulo"),
        ("0 12 * 2 MON#4", "UTC"),
    ],
)
def test_a_decade_is_that_of_the_library(cron: str, zone: str) -> None:
    """For fixed times the library has the same rule."""
    library = (tick.astimezone(UTC) for tick in CronSim(cron, BEGIN.astimezone(ZoneInfo(zone))))
    expected = list(takewhile(lambda tick: tick < END, library))

    assert list(takewhile(lambda tick: tick < END, timetable_of(cron, zone).after(BEGIN))) == expected
    assert list(timetable_of(cron, zone).latest(BEGIN, END, 10_000)) == expected


def test_what_is_asked_makes_no_difference() -> None:
    """Ahead, back, from any instant, few or many: the same ticks."""
    timetable = timetable_of("0,30 0-2 * * *", "Europe/London")
    begin, end = datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 10, 27, tzinfo=UTC)
    ticks = list(timetable.latest(begin, end, 1_000))

    at = begin
    while at < end:
        later = [tick for tick in ticks if tick > at]
        assert list(islice(timetable.after(at), len(later))) == later
        assert list(timetable.latest(at, end, 1_000)) == later
        assert list(timetable.latest(at, end, 3)) == later[-3:]
        earlier = [tick for tick in ticks if tick <= at]
        assert list(timetable.latest(begin, at, 1_000)) == earlier
        at += timedelta(minutes=17, seconds=30)


@pytest.mark.parametrize("zone", ["Europe/London", "America/New_York", "Asia/Tokyo"])
def test_the_begin_of_the_calendar_is_a_bound_like_others(zone: str) -> None:
    """Nothing is before it, and each year after it has its tick."""
    yearly = timetable_of("0 0 1 7 *", zone)
    first, last = datetime.min.replace(tzinfo=UTC), datetime(301, 1, 1, tzinfo=UTC)

    assert list(yearly.latest(first, first, 10)) == []
    assert len(yearly.latest(first, last, 1_000)) == 300


def test_seconds_come_first() -> None:
    """With six fields; the newest of years of seconds are found at once."""
    every = timetable_of("*/20 * * * * *", "Europe/London")
    noon = datetime(2026, 3, 29, 12, tzinfo=UTC)

    assert list(islice(every.after(noon), 3)) == [noon + timedelta(seconds=s) for s in (20, 40, 60)]
    assert list(every.latest(BEGIN, noon, 3)) == [noon - timedelta(seconds=s) for s in (40, 20, 0)]
    # At a fixed time of day the clocks change nothing either: once, when they go on.
    once = list(islice(timetable_of("30 30 1 * * *", "Europe/London").after(noon - timedelta(hours=12)), 2))
    assert once == [datetime(2026, 3, 29, 1, 0, 30, tzinfo=UTC), datetime(2026, 3, 30, 0, 30, 30, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("cron", "zone", "match"),
    [
        ("", "UTC", "cron expression '' cannot be read"),
        ("0 2 * *", "UTC", "use five fields"),
        ("60 2 * * *", "UTC", "Bad minute"),
        ("0 2 30 2 *", "UTC", "Bad day-of-month"),
        (5, "UTC", "must be a text"),
        ("@daily", "UTC", "cannot be read"),
        ("0 2 * * *", "Europe/Londn", "time zone 'Europe/Londn' is not known"),
        ("0 2 * * *", "", "is not known"),
        ("0 2 * * *", "../etc/passwd", "is not known"),
        ("0 2 * * *", None, "is not known"),
    ],
)
def test_what_is_no_time_is_refused(cron: str, zone: str, match: str) -> None:
    """With an error that names it."""
    with pytest.raises(DefinitionError, match=match):
        CronTimetable(cron, zone)
