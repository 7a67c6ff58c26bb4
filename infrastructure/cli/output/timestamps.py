"""Instants as text: ISO 8601, UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from ...ledger.json_values import json_instant
from ...read_models.relative_time import time_before, utc_now
from ..arguments import INTEGER_MAX
from ..usage import UsageError

__all__ = ["json_instant", "read_instant", "read_past", "show_instant"]

DIGITS_MAX = len(str(INTEGER_MAX))


def show_instant(instant: datetime | None) -> str:
    """Return an instant to the millisecond, such as `2026-03-01T02:17:05.120Z`; empty for none."""
    if instant is None:
        return ""
    return _iso(instant, "milliseconds")


def read_instant(text: str) -> datetime:
    """Read a date, or a date and time, UTC unless it has an offset. Raises `UsageError`."""
    try:
        instant = datetime.fromisoformat(text)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:  # OverflowError: an offset leads out of the years 1 to 9999
        raise UsageError(
            f"{text!r} is not a time in the years 1 to 9999 of UTC: write it as 2026-03-01 or 2026-03-01T02:17:05Z"
        ) from error


def read_past(text: str) -> datetime:
    """Read an instant as `read_instant` does, or one before now, such as `7d`. Raises `UsageError`."""
    relative = time_before(text, utc_now())
    if relative is not None:
        return relative
    try:
        return read_instant(text)
    except UsageError as error:
        raise UsageError(f"{error}, or as 7d for seven days ago (s, m, h, d, w)") from error


def _iso(instant: datetime, timespec: str) -> str:
    try:
        return f"{instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=timespec)}Z"
    except OverflowError:  # in UTC it is before the year 1 or after 9999: shown with its own offset
        return instant.isoformat(timespec=timespec)
