"""Projections: every view catching up on a long log, beside `eventsourcing`'s runner; and how far views lag."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from sqlalchemy import select

from sagaledger import Ledger
from sagaledger.infrastructure.event_store.event_row import StoredRow
from sagaledger.infrastructure.read_models.checkpoints import JOURNAL
from sagaledger.infrastructure.read_models.rebuild import rebuild
from sagaledger.infrastructure.shop.app import APP as SHOP

from .databases import POSTGRES
from .eventsourcing_peer import projected_events_per_second
from .findings import Findings
from .history import grow, shop_history
from .limits import recorded
from .measuring import in_turn, percentile, seconds_of
from .setting import Setting
from .workload import APP, catch_up, drive

AT_ONCE = 512
REBUILT_VIEW = "sagas"
LAG_PERCENTS = (50, 99)


def projections(setting: Setting) -> Findings:
    """Measure how fast views follow the log."""
    found = Findings()
    history = shop_history()
    for backend in setting.backends:
        setting.say(f"{backend}: every view catching up on {setting.sizes.projected_events:,} events")
        _catch_up(setting, backend, history, found)
        setting.say(f"{backend}: how far views lag while sagas run")
        full_speed = _lag(setting, backend, "full", None, found)
        _lag(setting, backend, "half", full_speed / 2, found)
    return found


def _catch_up(setting: Setting, backend: str, history: Sequence[StoredRow], found: Findings) -> None:
    def views() -> float:
        with Ledger.open(setting.databases.fresh(backend), SHOP, create=True) as ledger:
            events = grow(ledger.backend, history, setting.sizes.projected_events)
            return events / seconds_of(lambda: catch_up(ledger))

    def rebuilt_view() -> float:
        with Ledger.open(setting.databases.fresh(backend), SHOP, create=True) as ledger:
            events = grow(ledger.backend, history, setting.sizes.projected_events)
            view = ledger.context.queries.projection(REBUILT_VIEW)
            return events / seconds_of(lambda: rebuild(ledger.backend, ledger.context.codec, view))

    def runner() -> float:
        return projected_events_per_second(setting.databases.postgres_database(), setting.sizes.runner_events)

    contenders = {f"{len(SHOP.projections)}_views": views, "rebuilt_view": rebuilt_view}
    if backend == POSTGRES:
        contenders["runner"] = runner
    rounds = in_turn(contenders, setting.sizes.rounds)
    for name in rounds:
        found.figures[f"projected_events_per_second_{backend}_{name}"] = rounds.median(name)
    if "runner" in rounds:
        found.ratios["projections_vs_runner"] = rounds.ratio(f"{len(SHOP.projections)}_views", "runner")


def _lag(setting: Setting, backend: str, speed: str, sagas_per_second: float | None, found: Findings) -> float:
    """Measure the time from each event's append to its commit in every view. Returns the sagas per second."""
    url = setting.databases.fresh(backend)
    ran = drive(url, setting.sizes.sagas_at_once, AT_ONCE, project=True, sagas_per_second=sagas_per_second)
    with Ledger.open(url, APP) as ledger:
        catch_up(ledger)
        lags_seconds = _lags_seconds(ledger)
    for percent in LAG_PERCENTS:
        found.figures[f"view_lag_at_{speed}_speed_{backend}_p{percent}_ms"] = percentile(lags_seconds, percent) * 1000
    return ran.sagas_per_second


def _lags_seconds(ledger: Ledger) -> list[float]:
    """Return the seconds from an event's `recorded_at` to the commit of the view that folded it, from the journal."""
    rows = recorded(ledger.backend)
    with ledger.backend.views.reading() as connection:
        journal = connection.execute(
            select(JOURNAL.c.projection, JOURNAL.c.to_position, JOURNAL.c.committed_at).order_by(
                JOURNAL.c.projection, JOURNAL.c.to_position
            )
        ).all()
    lags: list[float] = []
    for name in {projection for projection, _, _ in journal}:
        commits = [(upto, at) for projection, upto, at in journal if projection == name]
        ends = [upto for upto, _ in commits]
        for row in rows:
            _, committed_at = commits[bisect_left(ends, row.position)]
            lags.append((committed_at - row.recorded_at).total_seconds())
    return lags
