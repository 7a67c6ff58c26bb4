"""A line of an invoice, read from its texts. This module alone decides which lines are valid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import NamedTuple

from ....domain.shop.values import AMOUNT_MINOR_MAX, NAME_CHARS_MAX, QUANTITY_MAX
from .errors import LineRejected

_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][+-]?[0-9]{1,2})?")
_CONTROL = re.compile(r"[\x00-\x1f]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL takes no NUL, UTF-8 no lone surrogate
_EXACT = Context(prec=100, rounding=ROUND_HALF_UP)
"""Wide enough that a product is exact, so that the only rounding is the one to the penny."""
_UCI_DATE = "%m/%d/%Y %H:%M"


class SaleLine(NamedTuple):
    """Some pieces of one article on one invoice; in a return, quantity and amount are positive too."""

    invoice: str
    sku: str
    description: str
    quantity: int
    amount_minor: int
    """Quantity times unit price, rounded half up to the penny."""
    placed_at: datetime
    """UTC."""
    customer_id: str | None
    country: str

    @property
    def is_return(self) -> bool:
        """Whether the invoice is a return."""
        return is_return(self.invoice)


def is_return(invoice: str) -> bool:
    """Whether an invoice number is that of a return."""
    return invoice.startswith("C")


def sale_line(fields: Mapping[str, str]) -> SaleLine:
    """Read a line of an invoice.

    Raises `LineRejected` when a field does not parse, the price is negative, or the quantity has the wrong sign: not
    above zero outside a return, above zero in one.
    """
    for column, text in fields.items():
        if _UNSTORABLE.search(text):
            raise LineRejected(f"{column} holds a character that cannot be stored")
    invoice = _key(fields, "InvoiceNo")
    sku = _key(fields, "StockCode")
    quantity = _quantity(fields["Quantity"].strip(), invoice)
    price = _price(fields["UnitPrice"].strip())
    amount = _EXACT.quantize(_EXACT.multiply(price, Decimal(quantity * 100)), Decimal(1))
    if amount > AMOUNT_MINOR_MAX:
        raise LineRejected(f"the line's amount is above the {AMOUNT_MINOR_MAX // 100:,} that one line may have")
    return SaleLine(
        invoice=invoice,
        sku=sku,
        description=fields["Description"].strip(),
        quantity=quantity,
        amount_minor=int(amount),
        placed_at=_time(fields["InvoiceDate"].strip()),
        customer_id=_name(fields, "CustomerID") or None,
        country=_name(fields, "Country"),
    )


def _key(fields: Mapping[str, str], column: str) -> str:
    text = _name(fields, column)
    if not text:
        raise LineRejected(f"{column} is empty")
    return text


def _name(fields: Mapping[str, str], column: str) -> str:
    text = fields[column].strip()
    if len(text) > NAME_CHARS_MAX or _CONTROL.search(text):
        raise LineRejected(f"{column} {text[:20]!r}… is not a name of up to {NAME_CHARS_MAX} printable characters")
    return text


def _quantity(text: str, invoice: str) -> int:
    """Read how many pieces were sold, or returned."""
    if not _WHOLE.fullmatch(text):
        raise LineRejected(f"Quantity {text[:40]!r} is not a whole number")
    quantity = int(text)
    if abs(quantity) > QUANTITY_MAX:
        raise LineRejected(f"Quantity {text} is beyond the {QUANTITY_MAX:,} that one line may have")
    if is_return(invoice):
        if quantity > 0:
            raise LineRejected(f"Quantity {text} is above zero in a return")
        return -quantity
    if quantity <= 0:
        raise LineRejected(f"Quantity {text} is not above zero outside a return")
    return quantity


def _price(text: str) -> Decimal:
    if not _DECIMAL.fullmatch(text):
        raise LineRejected(f"UnitPrice {text[:40]!r} is not a decimal number")
    price = Decimal(text)
    if price < 0:
        raise LineRejected(f"UnitPrice {text} is negative")
    if price > AMOUNT_MINOR_MAX:
        raise LineRejected(f"UnitPrice {text} is beyond what one line may have")
    return price


def _time(text: str) -> datetime:
    """Read a time in ISO 8601, or as the original data set has it (12/1/2010 8:26); without an offset it is UTC."""
    try:
        time = datetime.strptime(text, _UCI_DATE) if "/" in text else datetime.fromisoformat(text)  # noqa: DTZ007
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise LineRejected(f"InvoiceDate {text[:40]!r} is not a time: write 2010-12-01 08:26:00") from error
