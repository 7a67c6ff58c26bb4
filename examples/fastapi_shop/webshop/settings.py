"""Where the shop's databases and services are."""

from __future__ import annotations

import os
from typing import NamedTuple


class Settings(NamedTuple):
    """What the environment says."""

    database_url: str
    """The database of the shop's own tables."""
    ledger_url: str
    """The ledger: in the same PostgreSQL database, or in a SQLite file beside that of the shop."""
    services_url: str | None
    """The services for payments and parcels; None: the shop runs simulated ones."""

    @property
    def shares_transactions(self) -> bool:
        """Whether an order and its saga can be written in one transaction."""
        return self.database_url.startswith("postgresql")


def settings() -> Settings:
    """Read `SHOP_DB`, `SHOP_LEDGER` and `SHOP_SERVICES`."""
    database = os.environ.get("SHOP_DB", "sqlite:///webshop.db").replace("postgresql://", "postgresql+psycopg://", 1)
    beside = database if database.startswith("postgresql") else "sqlite:///webshop-ledger.db"
    return Settings(database, os.environ.get("SHOP_LEDGER", beside), os.environ.get("SHOP_SERVICES"))
