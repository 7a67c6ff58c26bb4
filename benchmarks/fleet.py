"""Several workers on one database, each in a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter

from sagaledger import Ledger, Worker
from sagaledger.infrastructure.collector import spare_the_collector

from .workload import APP, WARM_UP_SAGAS, errands, see_through


def drive_together(url: str, sagas: int, at_once: int, workers: int) -> float:
    """Divide sagas among workers that begin at the same time; gives how many ended in a second, of all of them."""
    with Ledger.open(url, APP, create=True):
        share = sagas // workers
    with ExitStack() as stack:
        running = [
            stack.enter_context(_running(url, str(share), str(at_once // workers), f"errand-{number}"))
            for number in range(workers)
        ]
        for worker in running:
            _hear(worker)
        begun = perf_counter()
        for worker in running:
            _tell(worker)
        for worker in running:
            _hear(worker)
        return share * workers / (perf_counter() - begun)


@contextmanager
def _running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.fleet", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _hear(worker: subprocess.Popen[str]) -> None:
    """Wait until a worker says that it is ready, or has ended its sagas."""
    assert worker.stdout is not None
    if not worker.stdout.readline():
        raise RuntimeError("a worker of the benchmark ended before it was done: see what it printed above")


def _tell(worker: subprocess.Popen[str]) -> None:
    """Let a worker begin."""
    assert worker.stdin is not None
    print(file=worker.stdin, flush=True)


async def _work(url: str, sagas: int, at_once: int, name: str) -> None:
    with Ledger.open(url, APP) as ledger:
        async with Worker(ledger, project=False) as worker:
            await see_through(worker, errands(f"warm-{name}", WARM_UP_SAGAS), min(at_once, WARM_UP_SAGAS))
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            await see_through(worker, errands(name, sagas), at_once)
            print("ended", flush=True)


if __name__ == "__main__":
    spare_the_collector()
    asyncio.run(_work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
