"""Creates the shop's tables and its ledger, and puts something on the shelves: `python -m webshop.create`."""

from __future__ import annotations

from sqlalchemy import create_engine

from sagaledger import Ledger

from .fulfilment import Delivery, app, receive_delivery
from .orders import Base
from .settings import settings

SHELVES = {"TEAPOT": 50, "LAMP": 5}


def main() -> None:
    """Create what is absent. To run it again changes nothing: each delivery has a key."""
    chosen = settings()
    with Ledger.open(chosen.ledger_url, app, create=True) as ledger:
        for sku, quantity in SHELVES.items():
            ledger.start(receive_delivery, Delivery(f"first-{sku}", sku, quantity), actor="create")
    engine = create_engine(chosen.database_url)
    Base.metadata.create_all(engine)
    engine.dispose()
    print(f"created the shop, with {len(SHELVES)} articles")


if __name__ == "__main__":
    main()
