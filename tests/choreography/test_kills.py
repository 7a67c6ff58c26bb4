"""Choreographed runs of real orders, with real kills, have the outcomes of an orchestrated run."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sagaledger.infrastructure.event_store.verify import verify
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.shop.app import APP
from sagaledger.infrastructure.shop.order_import import SLICE

from .processes import PROGRAM, Nats, until

KILLED_AT = (370, 470, 1_020, 1_200, 1_350)
"""Positions, of 1,452: while orders are placed, while stock is reserved, while payments are made, and later."""
VIEWS = {
    "orders": ("order_id", "status", "total_minor", "customer_id", "country"),
    "inventory": ("sku", "received", "on_hand", "reserved", "shipped", "returned"),
    "payments": ("payment_id", "status", "captured_minor", "refunded_minor"),
    "shipments": ("order_id", "status"),
    "loyalty": ("customer_id", "points"),
}
Outcomes = dict[str, list[tuple[Any, ...]]]


class Runs:
    """Starts processes that run the orders, and ends all of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[subprocess.Popen[str]] = []

    def start(self, url: str, *more: str) -> subprocess.Popen[str]:
        """Start one more process on a ledger."""
        command = [PROGRAM, "run", SLICE, "--db", url, "--decline-rate", "0.1", "--seed", "7", *more]
        process = subprocess.Popen(
            command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """End the processes that still run, and those that they started."""
        for process in self._started:
            if process.poll() is None:
                _kill(*_children(process.pid), process.pid)
                process.communicate()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """Starts runs, and ends them."""
    runs = Runs(tmp_path)
    yield runs
    runs.end()


def _ends_well(process: subprocess.Popen[str]) -> None:
    _, err = process.communicate(timeout=100)
    assert process.returncode == 0, err


def _outcomes(url: str) -> Outcomes:
    """Returns the final rows of the views; requires an intact log without findings and dead letters."""
    with Ledger.open(url, APP) as ledger:
        assert verify(ledger.backend).ok
        assert ledger.query("findings").rows == ledger.query("dead_letters").rows == []
        return {
            view: sorted(tuple(row[c] for c in columns) for row in ledger.query(view, limit=10_000).rows)
            for view, columns in VIEWS.items()
        }


@pytest.fixture(scope="module")
def orchestrated(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """The outcomes of an orchestrated run of the same orders."""
    folder = tmp_path_factory.mktemp("orchestrated")
    url = f"sqlite:///{folder / 'ledger.db'}"
    _ends_well(Runs(folder).start(url))
    return _outcomes(url)


def test_kills_change_no_outcome(url: str, runs: Runs, orchestrated: Outcomes) -> None:
    """After each kill the same command goes on where the log ends."""
    with Ledger.open(url, APP, create=True) as ledger:
        for reached in KILLED_AT:
            process = runs.start(url, "--style", "choreography")
            until(lambda reached=reached: ledger.backend.wait_beyond(reached, 1.0) > reached)  # type: ignore[misc]
            process.kill()
            process.communicate()

    _ends_well(runs.start(url, "--style", "choreography"))

    assert _outcomes(url) == orchestrated


def test_a_broker_that_loses_everything_and_kills_of_services_change_no_outcome(
    sqlite_url: str, runs: Runs, nats: Nats, orchestrated: Outcomes
) -> None:
    """Twice, every service is killed, and the broker with everything that it stored."""
    process = runs.start(sqlite_url, "--style", "choreography", "--broker", nats.url)
    with Ledger.open(sqlite_url, APP) as ledger:
        for reached in (470, 1_200):
            until(lambda reached=reached: ledger.backend.wait_beyond(reached, 1.0) > reached)  # type: ignore[misc]
            nats.kill()
            _kill(*_children(process.pid))
            nats.start(wiped=True)

    _ends_well(process)

    assert _outcomes(sqlite_url) == orchestrated


def _kill(*pids: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> Sequence[int]:
    """Returns the processes that a process started."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]
