"""Instants as the log counts them: whole microseconds since 1970-01-01 UTC, without rounding."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from ..errors import DamagedLedger

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


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
