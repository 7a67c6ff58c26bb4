"""Sagas per second: four steps that call out, at 1, 64 and 512 at once, beside the ledger's limits and DBOS."""

from __future__ import annotations

from functools import partial

from sagaledger.infrastructure.log.open import open_backend
from sagaledger.infrastructure.log.port import StoredRow

from . import dbos_peer
from .findings import Findings
from .limits import append_again, insert_again, recorded
from .measuring import medians
from .setting import Setting
from .workload import WARM_UP_SAGAS, drive

AT_ONCE = (1, 64, 512)
MANY = AT_ONCE[-1]


def throughput(setting: Setting) -> Findings:
    """How many sagas end in a second, and which share of the limits that is."""
    found = Findings()
    for backend in setting.backends:
        _beside_limits(setting, backend, found)
        if setting.with_dbos:
            _beside_dbos(setting, backend, found)
    return found


def _beside_limits(setting: Setting, backend: str, found: Findings) -> None:
    sizes = setting.sizes
    setting.say(f"{backend}: sagas, the same events appended, and plainly inserted")
    sample = _events_of_a_run(setting, backend)
    events_per_saga = len(sample) / (sizes.sagas_at_once + WARM_UP_SAGAS)

    def sagas(at_once: int) -> float:
        number = sizes.sagas_alone if at_once == 1 else sizes.sagas_at_once
        return drive(setting.databases.fresh(backend), number, at_once).sagas_per_second

    came_to = medians(
        {str(at_once): partial(sagas, at_once) for at_once in AT_ONCE}
        | {
            "projected": lambda: (
                drive(setting.databases.fresh(backend), sizes.sagas_at_once, MANY, project=True).sagas_per_second
            ),
            "append": lambda: append_again(setting.databases.fresh(backend), sample),
            "insert": lambda: insert_again(setting.databases.fresh(backend), sample),
        },
        sizes.rounds,
    )
    for at_once in AT_ONCE:
        found.figure(f"sagas_per_second_{at_once}_at_once_{backend}", came_to[str(at_once)])
    found.figure(f"sagas_per_second_{MANY}_at_once_with_views_{backend}", came_to["projected"])
    found.figure(f"append_events_per_second_{backend}", came_to["append"])
    found.figure(f"insert_events_per_second_{backend}", came_to["insert"])
    found.ratio(f"sagas_vs_append_{backend}", came_to[str(MANY)] * events_per_saga, came_to["append"])
    found.ratio(f"append_vs_insert_{backend}", came_to["append"], came_to["insert"])


def _events_of_a_run(setting: Setting, backend: str) -> list[StoredRow]:
    url = setting.databases.fresh(backend)
    drive(url, setting.sizes.sagas_at_once, MANY)
    log = open_backend(url)
    try:
        return recorded(log)
    finally:
        log.close()


def _beside_dbos(setting: Setting, backend: str, found: Findings) -> None:
    setting.say(f"{backend}: the same sagas as workflows of DBOS")
    ran = dbos_peer.measured(setting.databases.for_peer(backend), setting.sizes.dbos_sagas)
    best = max(ran, key=lambda one: one.sagas_per_second)
    found.figure(f"dbos_sagas_per_second_{backend}", best.sagas_per_second)
    found.figure(f"dbos_best_at_once_{backend}", best.at_once)
    ours = max(found.figures[f"sagas_per_second_{at_once}_at_once_{backend}"] for at_once in AT_ONCE)
    found.ratio(f"sagas_vs_dbos_{backend}", ours, best.sagas_per_second)
