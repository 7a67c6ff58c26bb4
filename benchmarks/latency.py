"""Latency: how long one saga of four steps takes, alone and among 64, beside DBOS."""

from __future__ import annotations

from statistics import median

from . import dbos_peer
from .databases import POSTGRES
from .findings import Findings
from .measuring import PERCENTS, percentile
from .setting import Setting
from .workload import drive

AT_ONCE = (1, 64)


def latency(setting: Setting) -> Findings:
    """The percentiles of a saga's time from start to end; as a ratio, the median of a lone one."""
    found = Findings()
    for backend in setting.backends:
        setting.say(f"{backend}: latency of a lone saga and among {AT_ONCE[-1]}")
        for at_once in AT_ONCE:
            sagas = setting.sizes.sagas_alone if at_once == 1 else setting.sizes.sagas_at_once
            waits_seconds = drive(setting.databases.fresh(backend), sagas, at_once).waits_seconds
            _note(found, f"latency_{at_once}_at_once_{backend}", waits_seconds)
        if setting.with_dbos:
            _beside_dbos(setting, backend, found)
    return found


def _beside_dbos(setting: Setting, backend: str, found: Findings) -> None:
    """Each number at once in the way of DBOS, asyncio or threads, that is faster for it."""
    ran = dbos_peer.measured(setting.databases.for_peer(backend), setting.sizes.dbos_sagas)
    for at_once in AT_ONCE:
        quickest = min((one for one in ran if one.at_once == at_once), key=lambda one: median(one.waits_seconds))
        _note(found, f"dbos_latency_{at_once}_at_once_{backend}", quickest.waits_seconds)
    name = "latency_vs_dbos" if backend == POSTGRES else f"latency_vs_dbos_{backend}"
    dbos, ours = (found.figures[f"{whose}latency_1_at_once_{backend}_p50_ms"] for whose in ("dbos_", ""))
    found.ratio(name, dbos, ours)


def _note(found: Findings, name: str, waits_seconds: list[float]) -> None:
    for percent in PERCENTS:
        found.figure(f"{name}_p{percent}_ms", percentile(waits_seconds, percent) * 1000)
