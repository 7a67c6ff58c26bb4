"""How a file writes its times and prices: which part of `1/2/2010` is the day, and what a decimal comma means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from functools import cached_property

from .errors import LineRejected

_SLASHES = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/[0-9]{4} ")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][+-]?[0-9]{1,2})?")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}((\.[0-9]{3})+|(,[0-9]{3})+)")
MONTHS = 12


class DateOrder(Enum):
    """Which number of a date with slashes comes first."""

    MONTH_FIRST = ("%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S")
    """As the original data set has it (12/1/2010 8:26); also for a file whose dates do not show their order."""
    DAY_FIRST = ("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S")
    UNCLEAR = ()
    """Some dates of the file have the day first and others the month: only those that show it can be read."""


def date_order(times: Iterable[str]) -> DateOrder:
    """Return the order of the dates of a file: a number above 12 is a day."""
    shown = {order for text in times if (order := _order_of(text)) is not None}
    if len(shown) > 1:
        return DateOrder.UNCLEAR
    return shown.pop() if shown else DateOrder.MONTH_FIRST


def _order_of(text: str) -> DateOrder | None:
    """Return the order that one date shows; None for one that can be read in both."""
    match = _SLASHES.match(text.strip())
    if match is None:
        return None
    first, second = int(match[1]), int(match[2])
    if first > MONTHS >= second:
        return DateOrder.DAY_FIRST
    return DateOrder.MONTH_FIRST if second > MONTHS >= first else None


class Notation:
    """Reads the times and prices of one file.

    `find_order` reads the whole file for the order of its dates; it is called when a date with slashes is met.
    """

    def __init__(self, find_order: Callable[[], DateOrder], *, decimal_comma: bool) -> None:
        self._find_order = find_order
        self._decimal_comma = decimal_comma

    def time(self, text: str) -> datetime:
        """Read a time in ISO 8601 or with slashes; without an offset it is UTC. Raises `LineRejected`."""
        try:
            time = self._with_slashes(text) if "/" in text else datetime.fromisoformat(text)
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise LineRejected(f"InvoiceDate {text[:40]!r} is not a time: write 2010-12-01 08:26:00") from error

    def decimal(self, text: str) -> Decimal:
        """Read a price. Raises `LineRejected` for a text that is no decimal number, or may be two."""
        if self._decimal_comma:
            if _THOUSANDS.fullmatch(text):
                raise LineRejected(f"UnitPrice {text[:40]!r} may have a thousands separator: write it without one")
            text = text.replace(",", ".") if "." not in text else text
        if not _DECIMAL.fullmatch(text):
            raise LineRejected(f"UnitPrice {text[:40]!r} is not a decimal number")
        return Decimal(text)

    @cached_property
    def _order(self) -> DateOrder:
        return self._find_order()

    def _with_slashes(self, text: str) -> datetime:
        order = self._order
        if order is DateOrder.UNCLEAR:
            order = _order_of(text) or order
        if order is DateOrder.UNCLEAR:
            raise LineRejected(
                f"InvoiceDate {text[:40]!r} has its day first or its month first, and the file has dates of both "
                "kinds: write 2010-12-01 08:26:00"
            )
        short, long = order.value
        return datetime.strptime(text, long if text.count(":") > 1 else short)  # noqa: DTZ007
