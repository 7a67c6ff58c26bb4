"""Values that several parts of the shop share: limits, names, amounts, and quantities of articles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Protocol

from msgspec import Meta, Struct

QUANTITY_MAX = 10**9
"""The most pieces that one line may have."""
AMOUNT_MINOR_MAX = 10**12
"""The most that one line may cost, in the currency's minor unit. It keeps every sum exact in SQL."""
NAME_CHARS_MAX = 100
"""The most characters that a name may have."""

BusinessKey = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, pattern=r"^[^\x00-\x1f]+$")]
"""The key of an order, a return, an article or a customer. It becomes part of a stream's id."""
Country = Annotated[str, Meta(max_length=NAME_CHARS_MAX, pattern=r"^[^\x00-\x1f]*$")]
"""Where a customer lives; may be empty."""
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]
"""An ISO 4217 code."""
Minor = Annotated[int, Meta(ge=0, le=AMOUNT_MINOR_MAX)]
"""An amount in the currency's minor unit (pence)."""


class Quantity(Struct, frozen=True):
    """A number of pieces of one article."""

    sku: str
    quantity: int


class HasQuantity(Protocol):
    """A line with a number of pieces of one article."""

    @property
    def sku(self) -> str: ...
    @property
    def quantity(self) -> int: ...


def per_article(lines: Iterable[HasQuantity]) -> tuple[Quantity, ...]:
    """Sum the lines by article, in the order in which articles first appear; articles that sum to 0 are left out."""
    sums: dict[str, int] = {}
    for line in lines:
        sums[line.sku] = sums.get(line.sku, 0) + line.quantity
    return tuple(Quantity(sku, quantity) for sku, quantity in sums.items() if quantity)
