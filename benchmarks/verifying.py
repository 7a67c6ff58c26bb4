"""Verifying the whole hash chain, beside only reading the log."""

from __future__ import annotations

from collections.abc import Sequence

from sagaledger import Ledger
from sagaledger.infrastructure.event_store.event_row import StoredRow
from sagaledger.infrastructure.event_store.verify import verify
from sagaledger.infrastructure.shop.app import APP as SHOP

from .findings import Findings
from .history import grow, shop_history
from .limits import recorded
from .measuring import in_turn, seconds_of
from .setting import Setting


def verifying(setting: Setting) -> Findings:
    """Measure how many events a second are verified."""
    found = Findings()
    history = shop_history()
    for backend in setting.backends:
        setting.say(f"{backend}: verifying {setting.sizes.verified_events:,} events")
        _beside_reading(setting, backend, history, found)
    return found


def _beside_reading(setting: Setting, backend: str, history: Sequence[StoredRow], found: Findings) -> None:
    with Ledger.open(setting.databases.fresh(backend), SHOP, create=True) as ledger:
        log = ledger.backend
        events = grow(log, history, setting.sizes.verified_events)
        assert verify(log).ok
        rounds = in_turn(
            {
                "verified": lambda: events / seconds_of(lambda: verify(log)),
                "read": lambda: events / seconds_of(lambda: recorded(log)),
            },
            setting.sizes.rounds,
        )
    for name in rounds:
        found.figures[f"{name}_events_per_second_{backend}"] = rounds.median(name)
    found.ratios[f"verify_vs_read_{backend}"] = rounds.ratio("verified", "read")
