"""Settings from the environment, for options that the command line does not give; an empty variable counts as unset."""

from __future__ import annotations

import os

from .usage import require_unicode

DEFAULT_DB = "sqlite:///sagaledger.db"


def database() -> str:
    """Return the URL of the ledger that `SAGALEDGER_DB` names. Raises `UsageError` if it is not Unicode."""
    return _variable("SAGALEDGER_DB") or DEFAULT_DB


def app() -> str | None:
    """Return the name of the app in `SAGALEDGER_APP`; None without one. Raises `UsageError` if it is not Unicode."""
    return _variable("SAGALEDGER_APP")


def broker() -> str | None:
    """Return the URL of the broker in `SAGALEDGER_BROKER`; None without one. Raises `UsageError` if not Unicode."""
    return _variable("SAGALEDGER_BROKER")


def log_format() -> str | None:
    """Return the form of the log in `SAGALEDGER_LOG_FORMAT`; None without one. Raises `UsageError` if not Unicode."""
    return _variable("SAGALEDGER_LOG_FORMAT")


def log_level() -> str | None:
    """Return the level in `SAGALEDGER_LOG_LEVEL`; None without one. Raises `UsageError` if it is not Unicode."""
    return _variable("SAGALEDGER_LOG_LEVEL")


def _variable(name: str) -> str | None:
    value = os.environ.get(name)
    return require_unicode(name, value) if value else None
