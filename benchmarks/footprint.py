"""Footprint: the memory of a worker with many sagas running and waiting, and of a projector on a long log.

Each is measured in a process of its own, at its peak: `python -m benchmarks.footprint worker URL RUNNING WAITING`, or
`projector URL`, prints that as a JSON number of bytes.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from sagaledger import App, Ledger, Saga, StepContext, Worker
from sagaledger.infrastructure.runtime.event_loop import run_async
from sagaledger.infrastructure.shop.app import APP as SHOP

from .findings import Findings
from .history import grow, shop_history
from .setting import Setting
from .workload import Errand, catch_up

MEGABYTE = 1_000_000
SECONDS_MAX = 3_600
LONG_SECONDS = 86_400.0
STARTED_AT_ONCE = 512

resting = Saga("resting", input=Errand, key=lambda errand: errand.errand_id)
resting.sleep("rest", seconds=LONG_SECONDS)

busy = Saga("busy", input=Errand, key=lambda errand: errand.errand_id)


@busy.step(compensable=False)
async def call(errand: Errand, ctx: StepContext) -> None:  # noqa: ARG001  # every step takes them
    """Call a service that takes long to answer."""
    await asyncio.sleep(LONG_SECONDS)


def footprint(setting: Setting) -> Findings:
    """Measure the peak memory of a worker and of a projector, in megabytes."""
    found = Findings()
    sizes, history = setting.sizes, shop_history()
    for backend in setting.backends:
        setting.say(f"{backend}: memory of {sizes.running_sagas:,} running and {sizes.waiting_sagas:,} waiting sagas")
        fresh = setting.databases.fresh(backend)
        at = f"{sizes.running_sagas}_running_{sizes.waiting_sagas}_waiting_sagas_{backend}"
        found.figures[f"worker_megabytes_at_{at}"] = _peak_megabytes(
            "worker", fresh, str(sizes.running_sagas), str(sizes.waiting_sagas)
        )
        setting.say(f"{backend}: memory of a projector on {sizes.projected_events:,} events")
        url = setting.databases.fresh(backend)
        with Ledger.open(url, SHOP, create=True) as ledger:
            grow(ledger.backend, history, sizes.projected_events)
        at = f"{sizes.projected_events}_events_{backend}"
        found.figures[f"projector_megabytes_at_{at}"] = _peak_megabytes("projector", url)
    return found


def _peak_megabytes(*arguments: str) -> float:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.footprint", *arguments],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        check=True,
        timeout=SECONDS_MAX,
    )
    return msgspec.json.decode(ran.stdout, type=int) / MEGABYTE


async def _work(url: str, running: int, waiting: int) -> None:
    """Let a worker hold this many sagas, and stop it."""
    with Ledger.open(url, App(sagas=[resting, busy]), create=True) as ledger:
        room = 2 * running + STARTED_AT_ONCE  # a tenth of it is kept for sagas that others start
        async with Worker(ledger, project=False, concurrency=room, drain_seconds=0.0) as worker:
            sagas = iter(
                [(resting, number) for number in range(waiting)] + [(busy, number) for number in range(running)]
            )
            await asyncio.gather(*(_start(worker, sagas) for _ in range(STARTED_AT_ONCE)))


async def _start(worker: Worker, sagas: Iterator[tuple[Saga[Any], int]]) -> None:
    for saga, number in sagas:
        await worker.start(saga, Errand(f"errand-{number}"))


def _peak_bytes() -> int:
    if sys.platform == "linux":  # `getrusage` there has the peak of the parent process, if that is higher
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(status["VmHWM"].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes


def _main(what: str, url: str, *numbers: str) -> int:
    if what == "worker":
        running, waiting = map(int, numbers)
        run_async(_work(url, running, waiting))
    else:
        with Ledger.open(url, SHOP) as ledger:
            catch_up(ledger)
    return _peak_bytes()


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_main(*sys.argv[1:])))
