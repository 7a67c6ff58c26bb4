"""Times relative to now: `7d` is seven days ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from ...domain.instants import EARLIEST, in_utc

UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_RELATIVE: Final = re.compile(rf"([0-9]{{1,6}})([{''.join(UNITS)}])")


def time_before(text: str, now: datetime) -> datetime | None:
    """Return the time so long before now, such as `30m`, `12h`, `7d` or `2w`; None for a text of another form."""
    found = _RELATIVE.fullmatch(text.strip())
    return None if found is None else long_before(timedelta(**{UNITS[found[2]]: int(found[1])}), now)


def long_before(duration: timedelta, now: datetime) -> datetime:
    """Return the time so long before now; the first of the calendar if it would be earlier."""
    try:
        return in_utc(now) - duration
    except OverflowError:
        return EARLIEST


def read_time(text: str, now: datetime) -> datetime:
    """Read a time that is relative to now, or in ISO 8601, and then in UTC without an offset. Raises `ValueError`."""
    relative = time_before(text, now)
    return in_utc(datetime.fromisoformat(text)) if relative is None else relative


def utc_now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)
