"""Settings from the environment, for what the command line does not say; an empty variable counts as unset."""

from __future__ import annotations

import os

DEFAULT_DB = "sqlite:///sagaledger.db"


def database() -> str:
    """The ledger that `SAGALEDGER_DB` names."""
    return os.environ.get("SAGALEDGER_DB") or DEFAULT_DB


def app() -> str | None:
    """The app that `SAGALEDGER_APP` names."""
    return os.environ.get("SAGALEDGER_APP") or None
