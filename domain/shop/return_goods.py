"""The saga `return_goods`: put the goods back, pay the customer, take back the points.

Nothing undoes the arrival of the goods in the shop, so the first step is the pivot. After it the saga never
compensates.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from ..participant import Command
from ..saga.saga import Saga
from ..saga.step_context import StepContext
from .inventory import RestockItems
from .loyalty import DeductLoyaltyPoints, points_for
from .payment import RefundReturn
from .returns import CompleteReturn, RequestReturn
from .values import QUANTITY_MAX, BusinessKey, Country, Currency, Minor, per_article

# The docstrings of the input's types are in its JSON schema, and so in the fingerprint that ledgers have recorded:
# rewording them needs a new version of the saga.


class ReturnLine(Struct, frozen=True, omit_defaults=True):
    """So many pieces of one article sent back, worth so much together; both count upwards."""

    sku: BusinessKey
    quantity: Annotated[int, Meta(ge=0, le=QUANTITY_MAX)]
    amount_minor: Minor
    description: str = ""


class Return(Struct, frozen=True, omit_defaults=True):
    """Goods as a customer sent them back."""

    return_id: BusinessKey
    requested_at: Annotated[datetime, Meta(tz=True)]
    lines: Annotated[tuple[ReturnLine, ...], Meta(min_length=1)]
    customer_id: BusinessKey | None = None
    country: Country = ""
    currency: Currency = "GBP"

    @property
    def total_minor(self) -> int:
        """What the customer gets back, in the currency's minor unit."""
        return sum(line.amount_minor for line in self.lines)


return_goods = Saga("return_goods", version=1, input=Return, key=lambda returned: returned.return_id)


@return_goods.on_started
def request_return(returned: Return) -> list[Command]:
    """Open the return when its saga starts."""
    return [
        RequestReturn(
            return_id=returned.return_id,
            customer_id=returned.customer_id,
            country=returned.country,
            lines=len(returned.lines),
            total_minor=returned.total_minor,
            currency=returned.currency,
            requested_at=returned.requested_at,
        )
    ]


@return_goods.local_step(pivot=True)
def restock_items(returned: Return, _ctx: StepContext) -> list[Command]:
    """Put every article back on the shelf."""
    articles = per_article(returned.lines)
    return [
        RestockItems(returned.return_id, article.sku, article.quantity, part, len(articles))
        for part, article in enumerate(articles, start=1)
    ]


@return_goods.local_step()
def refund_payment(returned: Return, _ctx: StepContext) -> list[Command]:
    """Refund the full amount."""
    return [RefundReturn(returned.return_id, returned.customer_id, returned.total_minor, returned.currency)]


@return_goods.local_step()
def deduct_loyalty_points(returned: Return, _ctx: StepContext) -> list[Command]:
    """Deduct the points from a known customer; the account may go below zero."""
    if returned.customer_id is None:
        return []
    return [DeductLoyaltyPoints(returned.customer_id, returned.return_id, points_for(returned.total_minor))]


@return_goods.on_completed
def complete_return(returned: Return) -> list[Command]:
    """Close the return."""
    return [CompleteReturn(returned.return_id)]
