"""Open the ledger that a command works on."""

from __future__ import annotations

import getpass
import os

from ..ledger.ledger import Ledger
from . import settings
from .app_loader import load_app
from .logs import show_warnings
from .options import Options


def open_ledger(options: Options, *, create: bool = False) -> Ledger:
    """The ledger that the options and the environment name.

    Raises `AppNotLoaded`, `Unavailable` and `NotALedger`.
    """
    show_warnings()
    app = load_app(options.app or settings.app())
    return Ledger.open(options.db or settings.database(), app, create=create)


def actor_or_user(actor: str | None) -> str:
    """Who answers for a command: the one named, or the user of this shell."""
    if actor:
        return actor
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user that has no name
        return f"uid {os.getuid()}"
