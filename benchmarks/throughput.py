"""Sagas per second: four steps that call out, at 1, 64 and 512 at once, beside the ledger's limits and DBOS.

Beside DBOS each counts with the number at once that is fastest for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from sagaledger.infrastructure.log.open import open_backend
from sagaledger.infrastructure.log.port import StoredRow

from . import dbos_peer
from .databases import POSTGRES
from .findings import Findings
from .fleet import drive_together
from .limits import append_again, insert_again, recorded
from .measuring import Rounds, in_turn
from .setting import Setting
from .workload import WARM_UP_SAGAS, drive

AT_ONCE = (1, 64, 512)
MANY = AT_ONCE[-1]
WORKERS = 2
Contender = Callable[[], float]


def throughput(setting: Setting) -> Findings:
    """How many sagas end in a second, and which share of the limits that is."""
    found = Findings()
    for backend in setting.backends:
        setting.say(f"{backend}: sagas, the same events appended, and plainly inserted")
        sample = _events_of_a_run(setting, backend)
        contenders = _sagas(setting, backend)
        if setting.with_dbos:
            setting.say(f"{backend}: beside the same sagas as workflows of DBOS")
            contenders |= _dbos(setting, backend)
        if backend == POSTGRES:
            contenders |= _fleet(setting)
        contenders |= _limits(setting, backend, sample)
        _note(in_turn(contenders, setting.sizes.rounds), backend, found)
    return found


def _events_of_a_run(setting: Setting, backend: str) -> list[StoredRow]:
    url = setting.databases.fresh(backend)
    drive(url, setting.sizes.sagas_at_once, MANY)
    log = open_backend(url)
    try:
        return recorded(log)
    finally:
        log.close()


def _sagas(setting: Setting, backend: str) -> dict[str, Contender]:
    def sagas(at_once: int, *, project: bool = False) -> float:
        number = setting.sizes.sagas_alone if at_once == 1 else setting.sizes.sagas_at_once
        return drive(setting.databases.fresh(backend), number, at_once, project=project).sagas_per_second

    with_views: dict[str, Contender] = {f"{MANY}_at_once_with_views": partial(sagas, MANY, project=True)}
    return with_views | {f"{at_once}_at_once": partial(sagas, at_once) for at_once in AT_ONCE}


def _limits(setting: Setting, backend: str, sample: Sequence[StoredRow]) -> dict[str, Contender]:
    """The limits in sagas, too: their events are as many as the sample's sagas had."""
    sagas = setting.sizes.sagas_at_once + WARM_UP_SAGAS

    def again(write: Callable[[str, Sequence[StoredRow]], float]) -> float:
        return write(setting.databases.fresh(backend), sample) * sagas / len(sample)

    return {"only_appended": partial(again, append_again), "only_inserted": partial(again, insert_again)}


def _fleet(setting: Setting) -> dict[str, Contender]:
    def together() -> float:
        url = setting.databases.fresh(POSTGRES)
        return drive_together(url, setting.sizes.sagas_at_once, MANY, WORKERS)

    return {f"{MANY}_at_once_by_{WORKERS}_workers": together}


def _dbos(setting: Setting, backend: str) -> dict[str, Contender]:
    url = setting.databases.for_peer(backend)
    way = dbos_peer.fastest(url, setting.sizes.dbos_sagas)

    def workflows() -> float:
        (ran,) = dbos_peer.run(url, setting.sizes.dbos_sagas, way)
        return ran.sagas_per_second

    return {"dbos": workflows}


def _note(rounds: Rounds, backend: str, found: Findings) -> None:
    for name in rounds:
        found.figures[f"sagas_per_second_{backend}_{name}"] = rounds.median(name)
    ours = f"{MANY}_at_once"
    found.ratios[f"sagas_vs_append_{backend}"] = rounds.ratio(ours, "only_appended")
    found.ratios[f"append_vs_insert_{backend}"] = rounds.ratio("only_appended", "only_inserted")
    if "dbos" in rounds:
        fastest = max((f"{at_once}_at_once" for at_once in AT_ONCE), key=rounds.median)
        found.ratios[f"sagas_vs_dbos_{backend}"] = rounds.ratio(fastest, "dbos")
    together = f"{ours}_by_{WORKERS}_workers"
    if together in rounds:
        found.ratios[f"{WORKERS}_workers_vs_1_{backend}"] = rounds.ratio(together, ours)
