"""The dates of a file: which number of `1/2/2010` is the day, as the whole file shows it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import Enum
from typing import Final, NamedTuple

from .errors import LineRejected

_DATE = re.compile(
    r"([0-9]{1,4})([/.-])([0-9]{1,2})\2([0-9]{1,4})"
    r"(?:(?: +|T)([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.0{1,6})?)?(?: ?([AaPp])\.?[Mm]\.?)?)?"
)
MONTHS: Final = 12
_YEAR_DIGITS: Final = 4
_CENTURY: Final = 2000
_NOON_HOURS: Final = 12


class DateOrder(Enum):
    """In which order the parts of a date stand; the value is what `--dates` calls it."""

    MONTH_FIRST = "mdy"
    """As the original data set has it (12/1/2010 8:26)."""
    DAY_FIRST = "dmy"
    YEAR_FIRST = "ymd"
    CONTRADICTORY = "contradictory"
    """Some dates of the file have the day first and others the month: only those that show it can be read."""
    UNSHOWN = "unshown"
    """No date of the file shows it."""


class FoundOrder(NamedTuple):
    """The order of a file's dates, and the first date that does not show it."""

    order: DateOrder
    line: int = 0
    text: str = ""


def find_order(dates: Iterable[tuple[int, str]]) -> FoundOrder:
    """Return the order of the dates of a file, given with their lines: a number above 12 is a day."""
    shown: set[DateOrder] = set()
    unclear: tuple[int, str] = (0, "")
    for line, text in dates:
        order = order_of(text)
        if order is DateOrder.UNSHOWN:
            unclear = unclear if unclear[0] else (line, text.strip())
        elif order is not None:
            shown.add(order)
    if not shown:
        return FoundOrder(DateOrder.UNSHOWN, *unclear)
    return FoundOrder(shown.pop() if len(shown) == 1 else DateOrder.CONTRADICTORY, *unclear)


def order_of(text: str) -> DateOrder | None:
    """Return whether a date that ends with its year has its day or its month first; None for any other text."""
    match = _DATE.fullmatch(text.strip())
    if match is None or len(match[4]) != _YEAR_DIGITS:
        return None
    first, second = int(match[1]), int(match[3])
    if first > MONTHS >= second:
        return DateOrder.DAY_FIRST
    if second > MONTHS >= first:
        return DateOrder.MONTH_FIRST
    return DateOrder.UNSHOWN if max(first, second) <= MONTHS else None


def needs_order(text: str) -> bool:
    """Whether a time can only be read if the order of its parts is known."""
    match = _DATE.fullmatch(text)
    return match is not None and len(match[1]) != _YEAR_DIGITS


def read_iso(text: str) -> datetime | None:
    """Read a time in ISO 8601, which is UTC without an offset; None for a text that is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def read_date(text: str, order: DateOrder) -> datetime:
    """Read a time of this order, or one that begins with its year. Raises `LineRejected`, and `ValueError` for none."""
    match = _DATE.fullmatch(text)
    if match is None:
        time = read_iso(text)
        if time is None:
            raise ValueError(text)
        return time
    first, second, third = match[1], match[3], match[4]
    if len(first) == _YEAR_DIGITS or order is DateOrder.YEAR_FIRST:
        year, month, day = first, second, third
    elif order is DateOrder.DAY_FIRST:
        day, month, year = first, second, third
    else:
        month, day, year = first, second, third
    if len(year) not in (2, _YEAR_DIGITS) or len(day) > 2:
        raise LineRejected(f"InvoiceDate {text[:40]!r} does not have its parts in the order {order.value}")
    whole_year = int(year) if len(year) == _YEAR_DIGITS else _CENTURY + int(year)
    return datetime(whole_year, int(month), int(day), _hour(match), int(match[6] or 0), int(match[7] or 0), tzinfo=UTC)


def _hour(match: re.Match[str]) -> int:
    """Return the hour of a time, which may be one of twelve before or after noon."""
    hour = int(match[5] or 0)
    if match[8] is None:
        return hour
    if not 1 <= hour <= _NOON_HOURS:
        raise ValueError(f"{hour} is no hour of a half day")
    return hour % _NOON_HOURS + (_NOON_HOURS if match[8] in "Pp" else 0)
