"""The check that a database has the schema version that this code reads and writes."""

from __future__ import annotations

from ..errors import NotALedger


def check_version(stored: int, newest: int, *, oldest: int, database: str, url: str) -> None:
    """Raise `NotALedger`, naming the remedy, unless the stored schema version is one that this code uses.

    A migration after `oldest` only adds protection, so a ledger without it works as it did.
    """
    if stored == 0:
        raise NotALedger(f"{database} is not a sagaledger database yet: create it with `sagaledger init --db {url}`")
    if stored < oldest:
        raise NotALedger(
            f"{database} has schema version {stored}, and this sagaledger uses {newest}: "
            f"upgrade it with `sagaledger init --db {url}`"
        )
    if stored > newest:
        raise NotALedger(
            f"{database} has schema version {stored}, and this sagaledger reads up to {newest}: "
            "upgrade sagaledger (pip install --upgrade sagaledger); `sagaledger init` cannot go back"
        )
