"""The outages that a process with an open ledger may meet: its threads share what is logged of them."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import OutcomeUnknown, Unavailable
from ..runtime.outage_log import OutageLog


class OutageLogs:
    """What a process that has a ledger open depends on."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.database = OutageLog("the database", monotonic, (Unavailable, OutcomeUnknown))
        self.broker = OutageLog("the broker", monotonic)
