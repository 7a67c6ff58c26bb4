"""G13: a worker leaves sagas beyond its limits in the work queue."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from sagaledger import App, Ledger, Saga, StepContext, Worker
from sagaledger.infrastructure.event_store.event_row import STATE_BYTES_MAX
from sagaledger.infrastructure.worker import held_sagas

PATIENCE_SECONDS = 60.0
CONCURRENCY = 20
OVERLOAD = 10
"""How many times as many sagas there are as the worker may hold."""

PAYLOAD_BYTES = 200_000
BULKY_SAGAS = 400
MEMORY_BYTES_MAX = 192 * 1024 * 1024
"""Enough for the program and the sagas it may hold; not for all sagas at once, each several times its payload."""
BULKY_APP = """
import asyncio
from sagaledger import App, Saga

bulky = Saga("bulky", input=str)

@bulky.step(compensable=False)
async def dawdle(payload, ctx):
    await asyncio.sleep(0.2)

APP = App(sagas=[bulky])
"""
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv = ["sagaledger", *sys.argv[2:]]
from sagaledger.infrastructure.cli.main import main
main()
"""


def test_a_worker_holds_no_more_than_it_may(url: str) -> None:
    """Ten times as many are due, and it starts as many again itself: all end, a few at a time."""
    busy = Saga("busy", input=int)
    running = most = 0

    @busy.step(compensable=False)
    async def work(_number: int, _ctx: StepContext) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    async def scene(ledger: Ledger) -> list[str]:
        ids = [ledger.start(busy, number, key=f"due-{number}").saga_id for number in range(OVERLOAD * CONCURRENCY)]
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            Worker(ledger, concurrency=CONCURRENCY, project=False) as worker,
        ):
            begun = await asyncio.gather(
                *(worker.start(busy, n, key=f"own-{n}") for n in range(OVERLOAD * CONCURRENCY))
            )
            ids += [started.saga_id for started in begun]
            return [str((await worker.outcome(saga_id)).status) for saga_id in ids]

    with Ledger.open(url, App(sagas=[busy]), create=True) as ledger:
        outcomes = asyncio.run(scene(ledger))

    assert outcomes == ["completed"] * (2 * OVERLOAD * CONCURRENCY)
    assert 1 < most <= CONCURRENCY


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA covers mapped memory on Linux only")
def test_an_overloaded_worker_stays_below_a_memory_ceiling(sqlite_url: str, tmp_path: Path) -> None:
    """80 MB of inputs are due, several times that as Python objects: the worker ends them all within its limit."""
    (tmp_path / "bulky.py").write_text(BULKY_APP)
    bulky = Saga("bulky", input=str)
    bulky.step(name="dawdle", compensable=False)(_never_called)
    with Ledger.open(sqlite_url, App(sagas=[bulky])) as ledger:
        for number in range(BULKY_SAGAS):
            ledger.start(bulky, "x" * PAYLOAD_BYTES, key=str(number))

        worked = _work_limited(sqlite_url, tmp_path, concurrency=BULKY_SAGAS // OVERLOAD)

        assert worked.returncode == 0, worked.stderr
        assert ledger.backend.entries() == []
        assert all(ledger.state(f"bulky-{number}").status == "completed" for number in range(BULKY_SAGAS))


def test_heavy_sagas_are_held_by_their_weight(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room for a hundred by count, and for two of the heaviest by bytes: two are held at once."""
    monkeypatch.setattr(held_sagas, "HELD_BYTES_MAX", 2 * STATE_BYTES_MAX)
    heavy = Saga("heavy", input=str)
    running = most = 0

    @heavy.step(compensable=False)
    async def work(_payload: str, _ctx: StepContext) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1

    async def scene(ledger: Ledger) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), Worker(ledger, concurrency=100, project=False) as worker:
            await worker.idle()

    with Ledger.open(sqlite_url, App(sagas=[heavy])) as ledger:
        started = [ledger.start(heavy, "x" * PAYLOAD_BYTES, key=str(number)).saga_id for number in range(12)]
        asyncio.run(scene(ledger))
        assert {str(ledger.state(saga_id).status) for saga_id in started} == {"completed"}

    assert most == 2


async def _never_called(_payload: str, _ctx: StepContext) -> None:
    raise AssertionError("the worker in the other process runs the steps")


def _work_limited(url: str, folder: Path, *, concurrency: int) -> subprocess.CompletedProcess[str]:
    command = ["worker", "--until-idle", "--concurrency", str(concurrency), "--db", url, "--app", "bulky.py:APP"]
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(MEMORY_BYTES_MAX), *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
