"""Instants as the log counts them: whole microseconds since 1970-01-01 UTC, without rounding."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from ...domain.errors import InvalidInput
from ...domain.saga.duration import SECONDS_MAX
from ..errors import DamagedLedger

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def checked_in_utc(value: datetime, what: str) -> datetime:
    """Return the instant that a datetime from outside means: one without a time zone is in UTC, as everywhere here.

    One with a time zone is returned as it is. Raises `InvalidInput` for what is no datetime, and for an instant outside
    of the years 1 to 9999 in UTC.
    """
    if not isinstance(value, datetime):
        raise InvalidInput(f"{what} must be a datetime, and is a {type(value).__name__}")
    if value.utcoffset() is None:
        return value.replace(tzinfo=UTC)
    try:
        value.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInput(f"{what} is {value.isoformat()}, outside of the years 1 to 9999 in UTC") from error
    return value


def checked_timeout(seconds: Any, what: str) -> float:
    """Return a time to wait, within a hundred years.

    Raises `InvalidInput` for what is no number: compared with NaN, no time is ever over.
    """
    if not isinstance(seconds, (int, float)) or seconds != seconds:
        raise InvalidInput(f"{what} is {seconds!r}: use a number of seconds")
    return max(0.0, min(seconds, SECONDS_MAX))


def microseconds(instant: datetime) -> int:
    """Return an aware datetime as microseconds. Raises `TypeError` for a naive one, which names no instant."""
    return (instant - _UNIX_EPOCH) // _MICROSECOND


@lru_cache(maxsize=4096)  # the events of one append share theirs
def instant(microseconds_utc: int) -> datetime:
    """Return stored microseconds as a datetime in UTC. Raises `DamagedLedger` for one that no calendar has."""
    try:
        return _UNIX_EPOCH + timedelta(microseconds=microseconds_utc)
    except OverflowError as error:
        raise DamagedLedger(f"{microseconds_utc} microseconds is no time between the years 1 and 9999") from error
