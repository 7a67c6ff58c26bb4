"""The example of a group's trip: it runs as it stands, and a worker that is killed in its middle changes no outcome."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from time import monotonic, sleep

import pytest

from sagaledger import Ledger, Status
from sagaledger.domain.event import Event
from sagaledger.domain.saga.events import ItemsListed, StepOutcomeUnknown, StepStarted, StepSucceeded

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "group_trip.py"
PROGRAM = str(Path(sys.executable).with_name("sagaledger"))
TRAVELLERS = 12
PATIENCE_SECONDS = 60


def test_it_prints_how_the_trip_ended(tmp_path: Path) -> None:
    """The people who approve and the schedule are part of the program."""
    ran = subprocess.run([sys.executable, EXAMPLE], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert ran.stdout == (
        'group_trip-1: completed, "2 seats to Rome with no visas, released by bob and cid"\n'
        "prices are checked next on a Monday\n"
    )


def test_a_worker_is_killed_in_the_middle_and_another_goes_on(url: str, tmp_path: Path) -> None:
    """On both databases: each traveller has one seat, and what was decided before is not asked again."""
    options = ["--app", f"{EXAMPLE}:app", "--db", url]
    travellers = ",".join(f'{{"name":"T{number}","passport":"P{number}"}}' for number in range(TRAVELLERS))
    trip = f'{{"trip_id":"7","city":"Oslo","abroad":true,"travellers":[{travellers}]}}'
    _run("init", *options)
    _run("start", "group_trip", "--input", trip, "--actor", "ann", *options)

    with Ledger.open(url) as ledger:
        worker = subprocess.Popen([PROGRAM, "worker", *options], cwd=tmp_path, stderr=subprocess.DEVNULL)
        try:
            _until_some_seats_are_booked(ledger)
        finally:
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
        before = Counter(type(event) for event in _events(ledger))
        for actor in ("bob", "cid"):
            _run(
                "approve", "group_trip-7", "release", "--payload", '{"pounds":9000}', "--actor", actor,
                "--reason", "within the budget", *options,
            )  # fmt: skip
        _run("worker", "--until-idle", *options)

        state, events = ledger.state("group_trip-7"), _events(ledger)
        listed = Counter(type(event) for event in events)[ItemsListed]
        seats = Counter(e.step for e in events if isinstance(e, StepSucceeded) and e.step.startswith("book_seat["))
        keys = {(e.step, e.key) for e in events if isinstance(e, StepStarted)}
        found = [row["saga_id"] for row in ledger.query("sagas", attributes=["city=Oslo"]).rows]

    assert before[StepSucceeded] < TRAVELLERS
    assert any(isinstance(event, StepOutcomeUnknown) for event in events)
    assert state.status is Status.COMPLETED
    assert bytes(state.result or b"").decode() == f'"{TRAVELLERS} seats to Oslo with visas, released by bob and cid"'
    assert seats == Counter(f"book_seat[{index}]" for index in range(TRAVELLERS))
    assert len(keys) == len({step for step, _ in keys})
    assert listed == 1
    assert found == ["group_trip-7"]


def _run(*words: str) -> None:
    done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _events(ledger: Ledger) -> list[Event]:
    return [recorded.event for recorded in ledger.history("group_trip-7")]


def _until_some_seats_are_booked(ledger: Ledger) -> None:
    deadline = monotonic() + PATIENCE_SECONDS
    while not any(isinstance(event, StepSucceeded) for event in _events(ledger)):
        if monotonic() > deadline:
            pytest.fail("no seat was booked")
        sleep(0.01)
