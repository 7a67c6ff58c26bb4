"""Times and moments in a query."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import Meta

from ...domain.errors import InvalidInput
from ..read_models.relative_time import read_time, utc_now

Time: TypeAlias = Annotated[
    str, Meta(description="In ISO 8601, in UTC unless it has an offset, or so long ago: 7d (s, m, h, d, w).")
]
SagaAt: TypeAlias = Annotated[
    str, Meta(description="A moment: a version of the saga (v14), a position of the log (@1897), a time, or 7d ago.")
]
ViewAt: TypeAlias = Annotated[str, Meta(description="A moment: a position of the log (@1897), a time, or 7d ago.")]


def time_of(text: str | None) -> datetime | None:
    """Read a time; None without one. Raises `InvalidInput`."""
    if text is None:
        return None
    try:
        return read_time(text, utc_now())
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"{text[:100]!r} is not a time in the years 1 to 9999 of UTC: write it as 2026-03-01T02:17:05Z, or as 7d "
            "for seven days ago (s, m, h, d, w)"
        ) from error
