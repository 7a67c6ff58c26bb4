"""Settings from the environment, for options that the command line does not give; an empty variable counts as unset."""

from __future__ import annotations

import os

DEFAULT_DB = "sqlite:///sagaledger.db"


def database() -> str:
    """Return the URL of the ledger that `SAGALEDGER_DB` names."""
    return os.environ.get("SAGALEDGER_DB") or DEFAULT_DB


def app() -> str | None:
    """Return the name of the app in `SAGALEDGER_APP`; None without one."""
    return os.environ.get("SAGALEDGER_APP") or None
