"""One invoice of a file while it is read: its lines, and whether they contradict each other."""

from __future__ import annotations

from array import array
from datetime import date
from typing import NamedTuple

import msgspec
from msgspec import Struct

from ....domain.shop import Order, OrderLine, Return, ReturnLine
from .errors import LineRejected
from .sale_line import SaleLine

INVOICE_BYTES_MAX = 240 * 1024
"""The most bytes that an invoice's lines may take in a saga's input; an event of the log may have 256 KiB in all."""
INVOICE_OVERHEAD_BYTES, LINE_OVERHEAD_BYTES = 1_000, 300
_encoded = msgspec.json.Encoder().encode


class Said(NamedTuple):
    """What a line says of its whole invoice."""

    value: str
    line: int


class RejectedInvoice(Struct, frozen=True):
    """An invoice that is left out, because its lines contradict each other about what an order needs."""

    invoice: str
    reason: str
    lines: tuple[int, ...]
    is_return: bool


class Invoice:
    """The lines of one invoice; its time is that of the first one.

    Lines of one invoice have one customer, one country and one day: whose order it is, where the goods go, and when it
    was placed. A line may omit customer and country. Times of one day, descriptions and prices may differ, and an
    article may stand on several lines.
    """

    def __init__(self, first: SaleLine) -> None:
        self.first = first
        self.lines = array("I")
        """The numbers of its lines in the file."""
        self.contradiction: str | None = None
        self._added: list[OrderLine | ReturnLine] = []
        self._bytes = 0
        self._said: dict[str, Said] = {}
        self._day: date = first.placed_at.date()

    def add(self, number: int, line: SaleLine) -> int:
        """Add a line, and return how many bytes of memory it takes.

        Raises `LineRejected` if the invoice would become larger than a saga's input may be.
        """
        if self.contradiction is not None:
            self.lines.append(number)
            return 0
        type_ = ReturnLine if line.is_return else OrderLine
        added = type_(line.sku, line.quantity, line.amount_minor, line.description)
        size = len(_encoded(added)) + 1
        if self._bytes + size > INVOICE_BYTES_MAX:
            raise LineRejected(
                f"invoice {line.invoice} is full: its lines fill the {INVOICE_BYTES_MAX:,} bytes it may have"
            )
        self.lines.append(number)
        self.contradiction = self._contradiction(number, line)
        if self.contradiction is not None:
            self._added.clear()
            return 0
        self._added.append(added)
        self._bytes += size
        return size + LINE_OVERHEAD_BYTES + (INVOICE_OVERHEAD_BYTES if len(self._added) == 1 else 0)

    def _contradiction(self, number: int, line: SaleLine) -> str | None:
        for what, value in (("customer", line.customer_id), ("country", line.country)):
            if value:
                said = self._said.get(what)
                if said is None:
                    self._said[what] = Said(value, number)
                elif said.value != value:
                    return self._differs(what, said, Said(value, number))
        day = line.placed_at.date()
        if day != self._day:
            return self._differs("day", Said(f"{self._day}", self.lines[0]), Said(f"{day}", number))
        return None

    def _differs(self, what: str, one: Said, other: Said) -> str:
        return (
            f"invoice {self.first.invoice} has another {what} on another line: {one.value} on line {one.line}, "
            f"and {other.value} on line {other.line}"
        )

    def rejected(self) -> RejectedInvoice | None:
        """Return the invoice as one that is left out; None if its lines agree."""
        if self.contradiction is None:
            return None
        return RejectedInvoice(self.first.invoice, self.contradiction, tuple(self.lines), self.first.is_return)

    def build(self) -> Order | Return:
        """Return the order or the return that the lines make."""
        first = self.first
        customer = self._said.get("customer")
        country = self._said.get("country")
        who = None if customer is None else customer.value
        where = "" if country is None else country.value
        if first.is_return:
            returned = tuple(line for line in self._added if isinstance(line, ReturnLine))
            return Return(first.invoice, first.placed_at, returned, who, where)
        ordered = tuple(line for line in self._added if isinstance(line, OrderLine))
        return Order(first.invoice, first.placed_at, ordered, who, where)
