"""The peer DBOS: the same four steps as a durable workflow, in a process of its own, as its guides recommend.

`python -m benchmarks.dbos_peer URL SAGAS WAY:AT_ONCE…`, where the way is `asyncio` or `threads`, prints a JSON list
with one object for each. With `share URL SAGAS WAY:AT_ONCE NAME` it runs its share beside other processes (see
`together.py`). DBOS records a workflow's start and end, and each step's outcome, in one commit each.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from .together import seconds_together, tell_all, wait_for_all

WAYS = ("asyncio", "threads")
AT_ONCE = (1, 8, 64)
WARM_UP = 10
SECONDS_MAX = 1_800


class Ran(msgspec.Struct):
    """Workflows that were run to their end."""

    way: str
    at_once: int
    sagas_per_second: float
    waits_seconds: list[float]


def run(url: str, sagas: int, *ways: str) -> list[Ran]:
    """Run this many workflows in each of these ways."""
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.dbos_peer", url, str(sagas), *ways],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        check=True,
        timeout=SECONDS_MAX,
    )
    return msgspec.json.decode(ran.stdout, type=list[Ran])


def fastest(url: str, sagas: int) -> str:
    """Return the way and the number at once with the most workflows per second."""
    ran = run(url, sagas, *(f"{way}:{at_once}" for way in WAYS for at_once in AT_ONCE))
    best = max(ran, key=lambda one: one.sagas_per_second)
    return f"{best.way}:{best.at_once}"


def run_together(url: str, sagas: int, way: str, processes: int, *, each_on_a_core: bool) -> float:
    """Run this many workflows in each of several processes. Returns how many ended in a second, in all of them."""
    shares = [("share", url, str(sagas), way, f"executor-{number}") for number in range(processes)]
    return sagas * processes / seconds_together("benchmarks.dbos_peer", shares, each_on_a_core=each_on_a_core)


def _workflows(url: str, executor: str = "local") -> tuple[Any, Callable[..., Any], Callable[..., None]]:
    from dbos import DBOS, DBOSConfig  # noqa: PLC0415  # only this process needs it

    config: DBOSConfig = {
        "name": "benchmark",
        "system_database_url": url,
        "log_level": "ERROR",
        "executor_id": executor,
    }
    DBOS(config=config)

    @DBOS.step()
    async def step_async(number: int) -> None:
        """Do nothing, as a call of a service."""

    @DBOS.step()
    def step(number: int) -> None:
        """Do nothing, as a call of a service."""

    @DBOS.workflow()
    async def four_steps_async(number: int) -> None:
        for _ in range(4):
            await step_async(number)

    @DBOS.workflow()
    def four_steps(number: int) -> None:
        for _ in range(4):
            step(number)

    DBOS.launch()
    return DBOS, four_steps_async, four_steps


def _by_asyncio(workflow: Callable[[int], Any], sagas: int, at_once: int) -> Ran:
    numbers = iter(range(sagas))
    waits_seconds: list[float] = []

    async def lane() -> None:
        for number in numbers:
            asked = perf_counter()
            await workflow(number)
            waits_seconds.append(perf_counter() - asked)

    async def run() -> None:
        await asyncio.gather(*(lane() for _ in range(at_once)))

    begun = perf_counter()
    asyncio.run(run())
    return Ran("asyncio", at_once, sagas / (perf_counter() - begun), waits_seconds)


def _by_threads(workflow: Callable[[int], None], sagas: int, at_once: int) -> Ran:
    waits_seconds: list[float] = []

    def one(number: int) -> None:
        asked = perf_counter()
        workflow(number)
        waits_seconds.append(perf_counter() - asked)

    begun = perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, range(sagas)))
    return Ran("threads", at_once, sagas / (perf_counter() - begun), waits_seconds)


def _run(url: str, sagas: int, ways: Sequence[str]) -> list[Ran]:
    dbos, *workflows = _workflows(url)
    ran = []
    for each in ways:
        go = _way(each, *workflows)
        go(WARM_UP)
        ran.append(go(sagas))
    dbos.destroy()
    return ran


def _do_share(url: str, sagas: int, way: str, executor: str) -> None:
    dbos, *workflows = _workflows(url, executor)
    go = _way(way, *workflows)
    go(WARM_UP)
    wait_for_all()
    go(sagas)
    tell_all()
    dbos.destroy()


def _way(each: str, in_asyncio: Callable[..., Any], in_threads: Callable[..., None]) -> Callable[[int], Ran]:
    """Return a function that runs this many workflows in that way, at most so many at once."""
    way, _, at_once = each.partition(":")
    if way == "asyncio":
        return lambda sagas: _by_asyncio(in_asyncio, sagas, int(at_once))
    return lambda sagas: _by_threads(in_threads, sagas, int(at_once))


if __name__ == "__main__":
    if sys.argv[1] == "share":
        _do_share(sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
    else:
        sys.stdout.buffer.write(msgspec.json.encode(_run(sys.argv[1], int(sys.argv[2]), sys.argv[3:])))
