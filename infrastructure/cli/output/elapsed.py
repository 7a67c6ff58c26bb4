"""Times as a person reads them on a screen: how long after the start, with the date once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


def elapsed(seconds: float) -> str:
    """Return a time span in two units at most: `1.204 s`, `12 m 05.3 s`, `3 h 07 m` or `4 d 06 h`."""
    if seconds < 0:
        return f"-{elapsed(-seconds)}"
    milliseconds = round(seconds * 1_000)
    if milliseconds < MINUTE * 1_000:
        return f"{milliseconds / 1_000:.3f} s"
    tenths, whole = milliseconds // 100, milliseconds // 1_000
    if whole < HOUR:
        return f"{whole // MINUTE} m {tenths % (MINUTE * 10) / 10:04.1f} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02} m"
    return f"{whole // DAY:,} d {whole % DAY // HOUR:02} h"


def about(seconds: float) -> str:
    """Return a time span in one unit, such as `1.2 s`, `12 m`, `3 h` or `4 d`."""
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m")):
        if seconds >= unit:
            return f"{int(seconds // unit):,} {name}"
    return f"{max(seconds, 0.0):.1f} s"


def day(instant: datetime) -> str:
    """Return the date of an instant in UTC, such as `2026-03-01`."""
    return _utc(instant).date().isoformat()


def time_of_day(instant: datetime, timespec: str = "milliseconds") -> str:
    """Return the time of an instant in UTC, without its date, such as `02:17:05.120`."""
    return _utc(instant).time().isoformat(timespec)


def dated(instant: datetime, timespec: str = "milliseconds") -> str:
    """Return an instant with its date, such as `2026-03-01 02:17:05.120`, in UTC."""
    return f"{day(instant)} {time_of_day(instant, timespec)}"


class Since(NamedTuple):
    """The start of a saga, from which a screen counts."""

    origin: datetime

    def offset(self, instant: datetime) -> str:
        """Return how long after the start an instant is, such as `+1.204 s`; `-0.010 s` before it."""
        span = elapsed((instant - self.origin).total_seconds())
        return span if span.startswith("-") else f"+{span}"

    def moment(self, instant: datetime | None) -> str:
        """Return the same in a sentence, with the date if that is not near; empty for none."""
        if instant is None:
            return ""
        far = abs((instant - self.origin).total_seconds()) >= HOUR
        return f"{self.offset(instant)} ({dated(instant, 'seconds')} UTC)" if far else self.offset(instant)


def _utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError:  # in UTC it is before the year 1 or after 9999: shown with its own offset
        return instant
