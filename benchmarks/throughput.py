"""Sagas per second: four steps that call out, at 1, 64 and 512 at once, beside the ledger's limits and DBOS.

A ratio compares the fastest of each side, over the numbers at once and, on PostgreSQL, over one process and two, where
the system puts them or each on a core of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Protocol

from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.event_row import StoredRow

from . import dbos_peer
from .databases import POSTGRES
from .findings import Findings
from .fleet import drive_together
from .limits import append_again, append_together, insert_again, recorded
from .measuring import Rounds, in_turn
from .setting import Setting
from .together import CAN_KEEP_TO_CORES
from .workload import WARM_UP_SAGAS, drive

AT_ONCE = (1, 64, 512)
MANY = AT_ONCE[-1]
OURS = f"{MANY}_at_once"
PROCESSES = 2
BY_ALL = f"_by_{PROCESSES}_processes"
ON_CORES = "_each_on_a_core"
APPENDED = "only_appended"
INSERTED = "only_inserted"
DBOS = "dbos"
Contender = Callable[[], float]


class Together(Protocol):
    """A run in several processes at the same time, which returns the sagas per second."""

    def __call__(self, *, each_on_a_core: bool) -> float: ...


def throughput(setting: Setting) -> Findings:
    """Measure how many sagas end in a second, and which share of the limits that is."""
    found = Findings()
    for backend in setting.backends:
        setting.say(f"{backend}: sagas, the same events appended, and plainly inserted")
        sample = setting.databases.fresh(backend)
        drive(sample, setting.sizes.sagas_at_once, MANY)
        contenders = _sagas(setting, backend) | _limits(setting, backend, sample)
        if setting.with_dbos:
            setting.say(f"{backend}: beside the same sagas as workflows of DBOS")
            contenders |= _dbos(setting, backend)
        _note(in_turn(contenders, setting.sizes.rounds), backend, found)
    return found


def _sagas(setting: Setting, backend: str) -> dict[str, Contender]:
    def sagas(at_once: int, *, project: bool = False) -> float:
        number = setting.sizes.sagas_alone if at_once == 1 else setting.sizes.sagas_at_once
        return drive(setting.databases.fresh(backend), number, at_once, project=project).sagas_per_second

    def together(*, each_on_a_core: bool) -> float:
        url, number = setting.databases.fresh(backend), setting.sizes.sagas_at_once
        return drive_together(url, number, MANY, PROCESSES, each_on_a_core=each_on_a_core)

    contenders: dict[str, Contender] = {f"{OURS}_with_views": partial(sagas, MANY, project=True)}
    contenders |= {f"{at_once}_at_once": partial(sagas, at_once) for at_once in AT_ONCE}
    return contenders | _by_all(OURS, together, backend)


def _limits(setting: Setting, backend: str, sample: str) -> dict[str, Contender]:
    """Return the limits as contenders; they count as many events as a saga of the sample has as one saga."""
    sagas = setting.sizes.sagas_at_once + WARM_UP_SAGAS
    with closing(open_backend(sample)) as log:
        rows = recorded(log)

    def again(write: Callable[[str, Sequence[StoredRow]], float]) -> float:
        return write(setting.databases.fresh(backend), rows) * sagas / len(rows)

    def together(*, each_on_a_core: bool) -> float:
        url = setting.databases.fresh(backend)
        return append_together(url, sample, PROCESSES, each_on_a_core=each_on_a_core) * sagas / len(rows)

    limits: dict[str, Contender] = {APPENDED: partial(again, append_again), INSERTED: partial(again, insert_again)}
    return limits | _by_all(APPENDED, together, backend)


def _dbos(setting: Setting, backend: str) -> dict[str, Contender]:
    url = setting.databases.for_peer(backend)
    number = setting.sizes.dbos_sagas
    way = dbos_peer.fastest(url, number)

    def workflows() -> float:
        (ran,) = dbos_peer.run(url, number, way)
        return ran.sagas_per_second

    def together(*, each_on_a_core: bool) -> float:
        return dbos_peer.run_together(url, number, way, PROCESSES, each_on_a_core=each_on_a_core)

    peers: dict[str, Contender] = {DBOS: workflows}
    return peers | _by_all(DBOS, together, backend)


def _by_all(name: str, together: Together, backend: str) -> dict[str, Contender]:
    """Return runs in several processes as contenders if the backend is a server; on Linux also with a core for each."""
    if backend != POSTGRES:
        return {}
    ways = {f"{name}{BY_ALL}": partial(together, each_on_a_core=False)}
    return ways | ({f"{name}{BY_ALL}{ON_CORES}": partial(together, each_on_a_core=True)} if CAN_KEEP_TO_CORES else {})


def _note(rounds: Rounds, backend: str, found: Findings) -> None:
    for name in rounds:
        found.figures[f"sagas_per_second_{backend}_{name}"] = rounds.median(name)
    _compare(rounds, list(rounds), backend, found)
    alone = [name for name in rounds if BY_ALL not in name]
    if len(alone) < len(rounds):
        _compare(rounds, alone, f"{backend}_1_process", found)
        found.ratios[f"{PROCESSES}_processes_vs_1_{backend}"] = rounds.ratio(f"{OURS}{BY_ALL}", OURS)
        if CAN_KEEP_TO_CORES:
            kept = rounds.ratio(f"{OURS}{BY_ALL}{ON_CORES}", f"{OURS}{BY_ALL}")
            found.ratios[f"each_on_a_core_vs_anywhere_{backend}"] = kept
    found.ratios[f"append_vs_insert_{backend}"] = rounds.ratio(APPENDED, INSERTED)


def _compare(rounds: Rounds, contenders: Sequence[str], where: str, found: Findings) -> None:
    """Compare the fastest way to run sagas with the fastest run of each limit and peer."""

    def fastest(kind: str) -> str:
        return max((name for name in contenders if kind in name), key=rounds.median)

    for name, kind in (("append", APPENDED), ("dbos", DBOS)):
        if kind in rounds:
            found.ratios[f"sagas_vs_{name}_{where}"] = rounds.ratio(fastest("_at_once"), fastest(kind))
