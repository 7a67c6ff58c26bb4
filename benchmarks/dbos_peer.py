"""The peer DBOS: the same four steps as a durable workflow, in a process of its own, as its guides recommend.

`python -m benchmarks.dbos_peer URL SAGAS WAY:AT_ONCE…`, where the way is `asyncio` or `threads`, prints a JSON list
with one object for each. DBOS records a workflow's start and end, and each step's outcome, one commit each.
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

WAYS = ("asyncio", "threads")
AT_ONCE = (1, 8, 64)
WARM_UP = 10
SECONDS_MAX = 1_800


class Ran(msgspec.Struct):
    """Some workflows, seen through."""

    way: str
    at_once: int
    sagas_per_second: float
    waits_seconds: list[float]


def run(url: str, sagas: int, *ways: str) -> list[Ran]:
    """Run so many workflows in each of these ways."""
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.dbos_peer", url, str(sagas), *ways],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        check=True,
        timeout=SECONDS_MAX,
    )
    return msgspec.json.decode(ran.stdout, type=list[Ran])


def fastest(url: str, sagas: int) -> str:
    """The way and number at once with the most workflows per second."""
    ran = run(url, sagas, *(f"{way}:{at_once}" for way in WAYS for at_once in AT_ONCE))
    best = max(ran, key=lambda one: one.sagas_per_second)
    return f"{best.way}:{best.at_once}"


def _workflows(url: str) -> tuple[Any, Callable[..., Any], Callable[..., None]]:
    from dbos import DBOS, DBOSConfig  # noqa: PLC0415  # only this process needs it

    config: DBOSConfig = {"name": "benchmark", "system_database_url": url, "log_level": "ERROR"}
    DBOS(config=config)

    @DBOS.step()
    async def step_async(number: int) -> None:
        """Call out to nobody."""

    @DBOS.step()
    def step(number: int) -> None:
        """Call out to nobody."""

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
    dbos, four_steps_async, four_steps = _workflows(url)
    ran = []
    for way, _, at_once in (each.partition(":") for each in ways):
        by, workflow = (_by_asyncio, four_steps_async) if way == "asyncio" else (_by_threads, four_steps)
        by(workflow, WARM_UP, WARM_UP)
        ran.append(by(workflow, sagas, int(at_once)))
    dbos.destroy()
    return ran


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_run(sys.argv[1], int(sys.argv[2]), sys.argv[3:])))
