"""Whether anyone works a ledger: the remark that explains why nothing happens."""

from __future__ import annotations

from ..ledger import Ledger
from .options import Options


def unattended(ledger: Ledger, options: Options) -> str | None:
    """The remedy if no worker has a lease on this ledger; None if one has."""
    if ledger.backend.workers():
        return None
    return f"no worker is running: `{options.again('worker')}` starts one"
