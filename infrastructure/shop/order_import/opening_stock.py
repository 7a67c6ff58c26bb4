"""Opening stock: what is on the shelves before an intake's first order."""

from __future__ import annotations

from ....domain.shop import OpenStock, import_key
from .order_file import OrderFile


def opening_stock(intake: OrderFile, pieces: int | None) -> list[OpenStock]:
    """The commands that open the stock of every article of the file, by article.

    With so many `pieces` of each, or (None) with as many as all the file's orders want together, so that none fails
    for want of stock. An article that opens with nothing has no command. Deciding them again does nothing.
    """
    return [
        OpenStock(sku, quantity, source=import_key(intake.sha256))
        for sku, wanted in sorted(intake.demand.items())
        if (quantity := wanted if pieces is None else pieces) > 0
    ]
