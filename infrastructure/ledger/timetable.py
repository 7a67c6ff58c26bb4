"""The ticks of a cron expression in a time zone: instants in UTC, exact when clocks are put forward or back.

The library `cronsim` reads the expression and knows which days match. Times of day become instants here: those of its
version 2.8 leave some out where clocks do not change by a whole hour and on the hour, such as `15 */2 * * *` in
`Australia/Lord_Howe`. The rules are those of Debian's cron:

- If the minute and the hour are fixed (neither begins with `*`), each time of day starts once. A time that the clocks
  leave out starts when they go on; one that comes twice starts the first time.
- Otherwise the expression follows the time that passes: a time that is left out does not start, and one that comes
  twice starts twice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from ...domain.errors import DefinitionError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

EARLIEST: Final = datetime(1, 1, 5, tzinfo=UTC)
"""Ticks are looked for from here on: every zone has the days around it."""
YEARS_MAX: Final = 50
"""How far ahead the next tick is looked for."""
_DAY: Final = timedelta(days=1)
_ANY: Final = datetime(2000, 1, 1)  # noqa: DTZ001 -- `cronsim` asks for a time to begin at, which nothing uses


class CronTimetable:
    """The ticks of one expression in one zone. Raises `DefinitionError` for an expression or a zone that is none."""

    def __init__(self, cron: str, timezone: str) -> None:
        parsed = _parsed(cron)
        self._zone = zone_of(timezone)
        self._match_day = parsed.match_day
        self._months = frozenset(parsed.months)
        self._times = [time(hour, minute) for hour in sorted(parsed.hours) for minute in sorted(parsed.minutes)]
        self._seconds = sorted(parsed.seconds)
        self._is_fixed = not parsed.parts[1].startswith("*") and not parsed.parts[2].startswith("*")
        self._minutes_of = lru_cache(maxsize=8)(self._minutes)

    def latest(self, after: datetime, upto: datetime, limit: int) -> Sequence[datetime]:
        """Returns the ticks with `after < tick <= upto`, in order; the latest ones, if there are more than `limit`."""
        after, upto = max(after, EARLIEST), max(upto, EARLIEST)
        found: set[datetime] = set()
        enough = False
        first, day = self._day(after) - _DAY, self._day(upto) + _DAY
        while day >= first:
            found.update(self._of_day(day, after, upto, limit))
            if enough:
                break
            enough = len(found) >= limit  # clocks that are put back may still bring a later one from the day before
            day -= _DAY
        return sorted(found)[-limit:]

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yields the ticks after an instant, in order, as far as `YEARS_MAX` years ahead."""
        day = self._day(instant) - _DAY
        end = min(day.year + YEARS_MAX, date.max.year - 1)
        waiting: list[datetime] = []
        while day.year <= end:
            if waiting:  # what comes of this day and of later ones is not before this day begins
                begins = datetime.combine(day, time(), self._zone).astimezone(UTC)
                while waiting and waiting[0] < begins:
                    instant = waiting.pop(0)
                    yield instant
            found = self._of_day(day, instant, None, None)
            waiting = sorted({*waiting, *found}) if waiting else list(found)
            day += _DAY

    def _day(self, instant: datetime) -> date:
        return instant.astimezone(self._zone).date()

    def _of_day(self, day: date, after: datetime, upto: datetime | None, limit: int | None) -> Sequence[datetime]:
        """Returns the ticks of one local day within bounds, in order; the latest ones, if there is a limit."""
        if day.month not in self._months or not self._match_day(day):
            return ()
        minutes = self._minutes_of(day)
        begin = bisect_right(minutes, after - timedelta(minutes=1))
        end = len(minutes) if upto is None else bisect_right(minutes, upto)
        if limit is not None:
            begin = max(begin, end - limit // len(self._seconds) - 2)
        return [
            tick
            for minute in minutes[begin:end]
            for tick in (minute + timedelta(seconds=second) for second in self._seconds)
            if tick > after and (upto is None or tick <= upto)
        ]

    def _minutes(self, day: date) -> Sequence[datetime]:
        """Returns the minutes of one local day that match, as instants, in order."""
        found: set[datetime] = set()
        for of_day in self._times:
            local = datetime.combine(day, of_day, self._zone)
            instants = [local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)]
            if instants[0] > instants[1]:  # the clocks leave this time out
                if self._is_fixed:
                    found.add(_end_of_gap(instants[1], instants[0], self._zone))
            else:
                found.update(instants[:1] if self._is_fixed else instants)
        return sorted(found)


@lru_cache(maxsize=1_024)
def timetable_of(cron: str, timezone: str) -> CronTimetable:
    """Returns the timetable of an expression in a zone. Raises `DefinitionError`."""
    return CronTimetable(cron, timezone)


def zone_of(timezone: Any) -> ZoneInfo:
    """Returns a time zone by its name. Raises `DefinitionError` if this system has none of that name."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415 -- only programs with schedules need it

    try:
        return ZoneInfo(timezone)
    except Exception as error:  # a name that is none, of any type, or a file that is no zone
        raise DefinitionError(
            f"the time zone {timezone!r} is not known here: use a name such as 'Europe/London' or 'UTC'; on a system "
            "without time zones, pip install tzdata"
        ) from error


def _end_of_gap(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Returns the instant at which the clocks go on, which is after one instant and not after another."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def _parsed(cron: Any) -> Any:
    try:
        from cronsim import CronSim, CronSimError  # noqa: PLC0415 -- an extra, which only schedules need
    except ImportError as error:
        raise DefinitionError("schedules need the library cronsim: pip install 'sagaledger[schedules]'") from error
    if not isinstance(cron, str):
        raise DefinitionError(f"the cron expression must be a text, and is a {type(cron).__name__}")
    try:
        parsed = CronSim(cron, _ANY)
    except (CronSimError, ValueError, AssertionError, TypeError) as error:
        raise DefinitionError(
            f"the cron expression {cron!r} cannot be read ({error}): use five fields (minute, hour, day of the month, "
            "month, day of the week), or six with the seconds first"
        ) from error
    return parsed
