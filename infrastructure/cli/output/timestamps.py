"""Instants as text: ISO 8601, UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from ..usage import UsageError


def show_instant(instant: datetime | None) -> str:
    """Return an instant to the millisecond, such as `2026-03-01T02:17:05.120Z`; empty for none."""
    if instant is None:
        return ""
    return f"{instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def json_instant(instant: datetime | None) -> str | None:
    """Return an instant to the microsecond; None for none."""
    if instant is None:
        return None
    return f"{instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def read_instant(text: str) -> datetime:
    """Read a date, or a date and time, UTC unless it has an offset. Raises `UsageError`."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a time: write it as 2026-03-01 or 2026-03-01T02:17:05Z") from error
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def read_moment(text: str) -> int | datetime:
    """Read a version or position (a whole number) or an instant. Raises `UsageError`."""
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return read_instant(text)
    except UsageError as error:
        raise UsageError(f"{text!r} is neither a version such as 4 nor a time such as 2026-03-01T02:17:05Z") from error
