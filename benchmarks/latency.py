"""Latency: how long one saga of four steps takes, alone and among 64, beside DBOS.

The limit of a lone saga is its events, appended one transition after the other, without a worker or a work queue.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from . import dbos_peer
from .databases import POSTGRES
from .findings import Findings
from .limits import append_one_by_one
from .measuring import PERCENTS, in_turn, percentile
from .setting import Setting
from .workload import drive

AT_ONCE = (1, 64)


def latency(setting: Setting) -> Findings:
    """Measure percentiles of a saga's time from start to end; the ratios compare a lone one with DBOS and the limit."""
    found = Findings()
    for backend in setting.backends:
        for at_once in AT_ONCE:
            setting.say(f"{backend}: latency of a saga, {at_once} at once")
            _measure(setting, backend, at_once, found)
    return found


def _measure(setting: Setting, backend: str, at_once: int, found: Findings) -> None:
    waits_seconds: dict[str, list[float]] = {"": [], "append_": [], "dbos_": []}

    def ours() -> float:
        sagas = setting.sizes.sagas_alone if at_once == 1 else setting.sizes.sagas_at_once
        waits = drive(setting.databases.fresh(backend), sagas, at_once).waits_seconds
        waits_seconds[""] += waits
        return median(waits)

    def dbos() -> float:
        """Run DBOS with asyncio and with threads. Returns the median of the faster one."""
        ran = dbos_peer.run(setting.databases.for_peer(backend), setting.sizes.dbos_sagas, *ways)
        waits = min((one.waits_seconds for one in ran), key=median)
        waits_seconds["dbos_"] += waits
        return median(waits)

    ways = [f"{way}:{at_once}" for way in dbos_peer.WAYS]
    contenders: dict[str, Callable[[], float]] = {"ours": ours}
    if at_once == 1:
        again = _appended(setting, backend)

        def appended() -> float:
            waits = again()
            waits_seconds["append_"] += waits
            return median(waits)

        contenders["appended"] = appended
    if setting.with_dbos:
        contenders["dbos"] = dbos
    rounds = in_turn(contenders, setting.sizes.rounds)
    for whose, waits in waits_seconds.items():
        for percent in PERCENTS if waits else ():
            name = f"{whose}latency_{backend}_{at_once}_at_once_p{percent}_ms"
            found.figures[name] = percentile(waits, percent) * 1000
    if "appended" in rounds:
        found.ratios[f"latency_vs_append_{backend}"] = rounds.ratio("appended", "ours")
    if at_once == 1 and "dbos" in rounds:
        name = "latency_vs_dbos" if backend == POSTGRES else f"latency_vs_dbos_{backend}"
        found.ratios[name] = rounds.ratio("dbos", "ours")


def _appended(setting: Setting, backend: str) -> Callable[[], list[float]]:
    """Return a function that appends the events of lone sagas again, and returns the seconds of each saga's calls."""
    sagas = setting.sizes.sagas_alone
    sample = setting.databases.fresh(backend)
    drive(sample, sagas, 1, warm_up=False)

    def again() -> list[float]:
        waits = append_one_by_one(setting.databases.fresh(backend), sample)
        calls = len(waits) // sagas
        return [sum(waits[begin : begin + calls]) for begin in range(0, len(waits), calls)]

    return again
