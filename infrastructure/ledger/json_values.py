"""Values of rows as JSON has them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def json_instant(instant: datetime | None) -> str | None:
    """Return an instant to the microsecond, in UTC, such as `2026-03-01T02:17:05.120000Z`; None for none."""
    if instant is None:
        return None
    try:
        return f"{instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
    except OverflowError:  # in UTC it is before the year 1 or after 9999: shown with its own offset
        return instant.isoformat(timespec="microseconds")


def jsonable(value: Any) -> Any:
    """Return a value of a row as JSON: times in UTC with `Z`."""
    return json_instant(value) if isinstance(value, datetime) else value


def jsonable_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its values as JSON."""
    return {name: jsonable(value) for name, value in row.items()}
