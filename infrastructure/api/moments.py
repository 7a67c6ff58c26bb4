"""Times and moments in a query."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from ...domain.errors import InvalidInput
from ..read_models.relative_time import read_time, utc_now
from .endpoint import INTEGER_MAX

_NUMBERED: Final = re.compile(r"[@v]([0-9]{1,19})")

Time: TypeAlias = Annotated[
    str, Meta(description="In ISO 8601, in UTC unless it has an offset, or so long ago: 7d (s, m, h, d, w).")
]
SagaAt: TypeAlias = Annotated[str, Meta(description="A version of the saga such as v14, or a time.")]
ViewAt: TypeAlias = Annotated[str, Meta(description="A position of the log such as @1897, or a time.")]


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


def saga_moment(text: str) -> int | datetime:
    """Read a version of a saga, or a time. Raises `InvalidInput`."""
    return _moment(text, "v", "v14 is a version of the saga")


def view_moment(text: str) -> int | datetime:
    """Read a position of the log, or a time. Raises `InvalidInput`."""
    return _moment(text, "@", "@1897 is a position of the log")


def _moment(text: str, sign: str, example: str) -> int | datetime:
    found = _NUMBERED.fullmatch(text)
    if found is not None and text.startswith(sign) and int(found[1]) <= INTEGER_MAX:
        return int(found[1])
    try:
        moment = time_of(text)
    except InvalidInput as error:
        raise InvalidInput(f"{text[:100]!r} is no moment here: {example}; a time is one, too") from error
    assert moment is not None  # noqa: S101 -- there is a text
    return moment
