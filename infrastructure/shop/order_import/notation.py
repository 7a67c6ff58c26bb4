"""How a file writes its times and prices, as far as it is told or shows it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from .dates import DateOrder, needs_order, order_of, read_date, read_iso
from .errors import LineRejected
from .file_format import DecimalMark

_DECIMAL = re.compile(r"[+-]?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][+-]?[0-9]{1,2})?")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}((\.[0-9]{3})+|(,[0-9]{3})+)")
_GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]{0,20})?")
_EXCHANGED = str.maketrans(".,", ",.")


class Notation:
    """Reads the times and prices of one file.

    `dates` is the order of its dates; if it is None, `find_order` reads the whole file for it when a date needs it.
    `decimal`: what stands before the pence; None if it may be a point or a comma, so that a price is rejected that may
    have a thousands separator instead. `grouped`: whether a price may have one.
    """

    def __init__(
        self,
        find_order: Callable[[], DateOrder],
        *,
        dates: DateOrder | None,
        decimal: DecimalMark | None,
        grouped: bool,
    ) -> None:
        self._find_order = find_order
        self._dates = dates
        self._decimal = decimal
        self._grouped = grouped

    def time(self, text: str) -> datetime:
        """Read a time in ISO 8601 or in the order of the file; without an offset it is UTC. Raises `LineRejected`."""
        try:
            if text[4:5] == "-" and (time := read_iso(text)) is not None:
                return time
            return read_date(text, self._order_for(text) if needs_order(text) else DateOrder.YEAR_FIRST)
        except (ValueError, OverflowError) as error:
            raise LineRejected(f"InvoiceDate {text[:40]!r} is not a time: write 2010-12-01 08:26:00") from error

    def decimal(self, text: str) -> Decimal:
        """Read a price. Raises `LineRejected` for a text that is no decimal number, or may be two."""
        plain = self._with_point(text)
        if not _DECIMAL.fullmatch(plain):
            raise LineRejected(f"UnitPrice {text[:40]!r} is not a decimal number")
        return Decimal(plain)

    def _with_point(self, text: str) -> str:
        """Return a price with a decimal point and without separators of thousands, as far as it can be known."""
        if self._decimal is None:
            if _THOUSANDS.fullmatch(text):
                raise LineRejected(
                    f"UnitPrice {text[:40]!r} may have a thousands separator: write it without one, or say with "
                    "--decimal point or --decimal comma what stands before the pence"
                )
            return text if "." in text else text.replace(",", ".")
        exchanged = text.translate(_EXCHANGED) if self._decimal == "comma" else text
        return exchanged.replace(",", "") if self._grouped and _GROUPED.fullmatch(exchanged) else exchanged

    @cached_property
    def _order(self) -> DateOrder:
        return self._find_order()

    def _order_for(self, text: str) -> DateOrder:
        if self._dates is not None:
            return self._dates
        shown = order_of(text)
        if shown is None:  # a year of two digits needs an order that was given
            raise ValueError(text)
        if self._order is not DateOrder.CONTRADICTORY:
            return self._order
        if shown is DateOrder.UNSHOWN:
            raise LineRejected(
                f"InvoiceDate {text[:40]!r} has its day first or its month first, and the file has dates of both "
                "kinds: write 2010-12-01 08:26:00"
            )
        return shown
