"""A line of an invoice, read from its texts. This module alone decides which lines are valid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import NamedTuple

from ....domain.shop.values import AMOUNT_MINOR_MAX, QUANTITY_MAX
from .errors import LineRejected
from .names import key, name, optional_key
from .notation import Notation

_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL takes no NUL, UTF-8 no lone surrogate
_EXACT = Context(prec=100, rounding=ROUND_HALF_UP)
"""Wide enough that a product is exact, so that the only rounding is the one to the penny."""


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


def sale_line(fields: Mapping[str, str], notation: Notation) -> SaleLine:
    """Read a line of an invoice.

    Raises `LineRejected` when a field does not parse, the price is negative, or the quantity has the wrong sign: not
    above zero outside a return, above zero in one.
    """
    for column, text in fields.items():
        if _UNSTORABLE.search(text):
            raise LineRejected(f"{column} holds a character that cannot be stored")
    invoice = key("InvoiceNo", fields["InvoiceNo"])
    sku = key("StockCode", fields["StockCode"])
    quantity = _quantity(fields["Quantity"].strip(), invoice)
    price = _price(fields["UnitPrice"].strip(), notation)
    amount = _EXACT.quantize(_EXACT.multiply(price, Decimal(quantity * 100)), Decimal(1))
    if amount > AMOUNT_MINOR_MAX:
        raise LineRejected(f"the line's amount is above the {AMOUNT_MINOR_MAX // 100:,} that one line may have")
    return SaleLine(
        invoice=invoice,
        sku=sku,
        description=fields["Description"].strip(),
        quantity=quantity,
        amount_minor=int(amount),
        placed_at=notation.time(fields["InvoiceDate"].strip()),
        customer_id=optional_key("CustomerID", fields["CustomerID"]) or None,
        country=name("Country", fields["Country"]),
    )


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


def _price(text: str, notation: Notation) -> Decimal:
    price = notation.decimal(text)
    if price < 0:
        raise LineRejected(f"UnitPrice {text} is negative")
    if price > AMOUNT_MINOR_MAX:
        raise LineRejected(f"UnitPrice {text} is beyond what one line may have")
    return price
