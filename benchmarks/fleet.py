"""Several workers on one database, each in a process of its own (see `together.py`).

`python -m benchmarks.fleet URL SAGAS AT_ONCE NAME` is one of them.
"""

from __future__ import annotations

import asyncio
import sys

from sagaledger import Ledger, Worker
from sagaledger.infrastructure.runtime.event_loop import run_async
from sagaledger.infrastructure.runtime.gc_tuning import tune_gc

from .together import seconds_together, tell_all, wait_for_all
from .workload import APP, WARM_UP_SAGAS, errands, see_through


def drive_together(url: str, sagas: int, at_once: int, workers: int, *, each_on_a_core: bool) -> float:
    """Divide sagas among workers that each run so many at once. Returns how many ended in a second, in all workers."""
    Ledger.open(url, APP, create=True).close()
    share = sagas // workers
    shares = [(url, str(share), str(at_once), f"errand-{number}") for number in range(workers)]
    return share * workers / seconds_together("benchmarks.fleet", shares, each_on_a_core=each_on_a_core)


async def _work(url: str, sagas: int, at_once: int, name: str) -> None:
    with Ledger.open(url, APP) as ledger:
        async with Worker(ledger, project=False) as worker:
            await see_through(worker, errands(f"warm-{name}", WARM_UP_SAGAS), min(at_once, WARM_UP_SAGAS))
            await asyncio.to_thread(wait_for_all)
            await see_through(worker, errands(name, sagas), at_once)
            tell_all()


if __name__ == "__main__":
    tune_gc()
    run_async(_work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
