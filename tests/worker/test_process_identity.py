"""The lease of a worker that died on the same host ends at once."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from sagaledger import App, Saga
from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.worker.coordination.process_identity import is_gone, process_identity

from .conftest import OpenLedger, play, worker_on

LONG_SECONDS = 3600.0


def _dead_pid() -> int:
    """Returns the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_process_is_gone_when_nothing_has_its_id() -> None:
    """Only an unused id is certain; a used one may be another process's."""
    assert is_gone(_dead_pid())
    assert not is_gone(os.getpid())


def test_what_a_dead_neighbour_held_is_taken_over_at_once(open_ledger: OpenLedger) -> None:
    """Its lease would last for another hour."""
    saga = Saga("trip", input=dict[str, str])
    saga.step(name="book", compensable=False)(lambda *_: "booked")
    ledger = open_ledger(App(sagas=[saga]))
    started = ledger.start(saga, {}, key="1")
    dead = ledger.backend.register(host=process_identity(), pid=_dead_pid(), lease_seconds=LONG_SECONDS)
    assert ledger.backend.claim(dead, definitions=[("trip", 1)], limit=10)
    if ledger.backend.url.startswith("sqlite"):
        ledger.close()  # a SQLite file takes one worker, and its lock dies with the process

    async def scene() -> Any:
        async with worker_on(open_ledger(App(sagas=[_again()]))) as worker:
            return await worker.outcome(started.saga_id)

    assert play(scene()).status is Status.COMPLETED


def _again() -> Saga[dict[str, str]]:
    saga = Saga("trip", input=dict[str, str])
    saga.step(name="book", compensable=False)(lambda *_: "booked")
    return saga
