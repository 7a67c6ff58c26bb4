"""Durations: seconds that a definition declares, and the instants that follow from them, all within the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..errors import DefinitionError
from ..instants import in_utc

SECONDS_MAX: Final = 100 * 365 * 86_400
"""A hundred years: a longer duration is a mistake, and its end may be beyond the calendar."""
LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""No instant that is computed is later, so that every time zone has it."""


def check_seconds(seconds: Any, what: str, *, zero: bool = False) -> None:
    """Raise `DefinitionError` unless a duration is a number of seconds above 0 (or 0, if `zero`), or None."""
    if seconds is None:
        return
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if number and (0 < seconds <= SECONDS_MAX or (zero and seconds == 0)):  # false for NaN
        return
    least = "0 or more" if zero else "more than 0"
    raise DefinitionError(f"{what} is {seconds!r} seconds: use a number, {least}, and at most {SECONDS_MAX:,}")


def instant_after(now: datetime, seconds: float) -> datetime:
    """Returns the instant so many seconds later, but none beyond the calendar; a time without a zone is UTC's."""
    try:
        return min(in_utc(now) + timedelta(seconds=seconds), LATEST)
    except OverflowError:
        return LATEST
