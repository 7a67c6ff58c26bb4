"""Instants as the log counts them: whole microseconds since 1970-01-01 UTC, exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def microseconds(instant: datetime) -> int:
    """An aware datetime as microseconds. Raises `TypeError` for a naive one, which names no instant."""
    return (instant - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=4096)  # the events of one append share theirs
def instant(microseconds_utc: int) -> datetime:
    """Microseconds as a datetime in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds_utc)
