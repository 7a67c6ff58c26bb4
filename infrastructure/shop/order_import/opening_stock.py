"""The opening stock: what the inventory has before the first order of a file."""

from __future__ import annotations

from ....domain.shop import OpenStock, import_key
from .order_file import OrderFile


def opening_stock(orders: OrderFile, pieces: int | None) -> list[OpenStock]:
    """Return the commands that open the stock of every article of the file, in the order of the articles.

    `pieces` is the stock of each; None stands for as many as all orders of the file need together. An article without
    stock has no command. Handling the commands again does nothing.
    """
    return [
        OpenStock(sku, quantity, source=import_key(orders.sha256))
        for sku, wanted in sorted(orders.demand.items())
        if (quantity := wanted if pieces is None else pieces) > 0
    ]
