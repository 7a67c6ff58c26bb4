"""Rebuilding sagas' states from their events, one by one and many at a time, beside `eventsourcing`'s repository."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sagaledger import Ledger, Status
from sagaledger.infrastructure.event_store.event_row import StoredRow

from .databases import POSTGRES
from .eventsourcing_peer import rebuilt_events_per_second
from .findings import Findings
from .history import errand_history, grow
from .limits import recorded
from .measuring import in_turn, stopwatch
from .setting import Setting
from .workload import APP

HISTORY_SAGAS = 50


def rebuilding(setting: Setting) -> Findings:
    """Measure how many events a second are folded into states."""
    found = Findings()
    history = errand_history(HISTORY_SAGAS)
    for backend in setting.backends:
        setting.say(f"{backend}: the state of {setting.sizes.rebuilt_sagas:,} sagas from their events")
        _measure(setting, backend, history, found)
    return found


def _measure(setting: Setting, backend: str, history: Sequence[StoredRow], found: Findings) -> None:
    errands = setting.sizes.rebuilt_sagas
    with Ledger.open(setting.databases.fresh(backend), APP, create=True) as ledger:
        events = grow(ledger.backend, history, errands * len(history) // HISTORY_SAGAS)
        ids = sorted({row.stream_id for row in recorded(ledger.backend)})
        contenders: dict[str, Callable[[], float]] = {
            "many_at_a_time": lambda: events / _many_at_a_time(ledger, ids),
            "one_by_one": lambda: events / _one_by_one(ledger, ids),
        }
        if backend == POSTGRES:
            contenders["repository"] = lambda: rebuilt_events_per_second(setting.databases.postgres_database(), errands)
        rounds = in_turn(contenders, setting.sizes.rounds)
    for name in rounds:
        found.figures[f"rebuilt_events_per_second_{backend}_{name}"] = rounds.median(name)
    if "repository" in rounds:
        found.ratios["rebuild_vs_repository"] = rounds.ratio("many_at_a_time", "repository")
        found.ratios["rebuild_one_by_one_vs_repository"] = rounds.ratio("one_by_one", "repository")


def _many_at_a_time(ledger: Ledger, ids: Sequence[str]) -> float:
    """Rebuild all states in one pass."""
    with stopwatch() as watch:
        for state in ledger.states(ids):
            assert state.status == Status.COMPLETED
    return watch.seconds


def _one_by_one(ledger: Ledger, ids: Sequence[str]) -> float:
    """Rebuild the states one after the other."""
    with stopwatch() as watch:
        for saga_id in ids:
            assert ledger.state(saga_id).status == Status.COMPLETED
    return watch.seconds
