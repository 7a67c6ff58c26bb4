"""A worker killed at any point: acknowledged starts are in the log, and every saga ends rightly (G1, G5, G8)."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from sagaledger.domain.recorded_event import RecordedEvent
from sagaledger.domain.saga.events import (
    SagaStarted,
    StepCompensated,
    StepOutcomeUnknown,
    StepSucceeded,
)
from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.ledger.ledger import Ledger

from .crashing import APP, JOURNEYS

SCRIPT = Path(__file__).with_name("crashing.py")
LIVES_MAX = 40


# A worker that dies during a step leaves its outcome unknown, and after five unknown outcomes the step has failed: each
# worker below lives long enough to complete further steps.


def _die_until_done(url: str, folder: Path, moment: str, counts: list[int]) -> int:
    """Start the worker repeatedly, to be killed later each time, until all journeys end; returns how often it died."""
    for life in range(LIVES_MAX):
        count = counts[min(life, len(counts) - 1)]
        ended = subprocess.run(
            [sys.executable, SCRIPT, url, folder, moment, str(count)], check=False, timeout=90, capture_output=True
        )
        if ended.returncode == 0:
            return life
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    raise AssertionError(f"the worker did not come to the end within {LIVES_MAX} lives")


@pytest.mark.parametrize(
    ("moment", "counts"),
    [
        ("before_append", [1, 2, 3, 4, 99]),
        ("after_append", [1, 2, 3, 2, 99]),
        ("in_step", [3, 10, 10, 6, 99]),
    ],
)
def test_a_killed_worker_is_resumed_where_it_was(url: str, tmp_path: Path, moment: str, counts: list[int]) -> None:
    """Killed at one point after another: the journeys end as without kills, and no effect happens twice."""
    # when a worker is killed and started again, many times
    deaths = _die_until_done(url, tmp_path, moment, counts)

    # then it died several times, and every journey ended as it should
    assert deaths >= 3
    with Ledger.open(url, APP) as ledger:
        histories = {n: ledger.history(f"journey-{n}", participants=False) for n in range(JOURNEYS)}
        statuses = [ledger.state(f"journey-{n}").status for n in range(JOURNEYS)]
        assert statuses == [Status.COMPLETED, Status.COMPENSATED] * (JOURNEYS // 2)
        # and the miles are those of the journeys that were completed
        miles = [ledger.context.codec.decode(row).event.miles for row in ledger.backend.stream("miles-all")]  # type: ignore[attr-defined]
        assert sum(miles) == 100 * JOURNEYS // 2
        assert ledger.backend.entries() == []

    # and what was acknowledged is in the log, at its position
    positions = {(r.stream_id, r.position) for history in histories.values() for r in history}
    for line in (tmp_path / "acknowledged").read_text().splitlines():
        saga_id, position = line.split()
        assert (saga_id, int(position)) in positions

    for history in histories.values():
        _check_history(history)
    _check_calls(tmp_path, histories)
    unknown = [r.event for history in histories.values() for r in history if isinstance(r.event, StepOutcomeUnknown)]
    assert all(recorded.worker for recorded in unknown)
    assert unknown or moment != "in_step"


def _check_history(history: list[RecordedEvent]) -> None:
    """No step succeeds twice, attempts count on, and compensation runs latest first."""
    assert isinstance(history[0].event, SagaStarted)
    assert [r.version for r in history] == list(range(1, len(history) + 1))
    done = [r.event.step for r in history if isinstance(r.event, StepSucceeded)]
    undone = [r.event.step for r in history if isinstance(r.event, StepCompensated)]
    assert len(done) == len(set(done))
    assert undone in ([], list(reversed(done)))
    attempts = defaultdict(list)
    for recorded in history:
        if type(recorded.event).schema.name in ("StepStarted", "CompensationStarted"):
            attempts[type(recorded.event), recorded.event.step].append(recorded.event.attempt)  # type: ignore[attr-defined]
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in attempts.values())


def _check_calls(folder: Path, histories: dict[int, list[RecordedEvent]]) -> None:
    """All calls of one step of one saga carry one key, and each has a recorded start."""
    calls = Counter(tuple(line.split()) for line in (folder / "calls").read_text().splitlines())
    keys = defaultdict(set)
    for saga_id, step, direction, key in calls:
        keys[saga_id, step, direction].add(key)
    assert all(len(used) == 1 for used in keys.values())
    assert len({key for used in keys.values() for key in used}) == len(keys)
    starts: Counter[tuple[str, ...]] = Counter()
    for recorded in (r for history in histories.values() for r in history):
        direction = {"StepStarted": "forward", "CompensationStarted": "compensation"}.get(
            type(recorded.event).schema.name
        )
        if direction is not None:
            starts[recorded.stream_id, recorded.event.step, direction, recorded.event.key] += 1  # type: ignore[attr-defined]
    assert all(number <= starts[call] for call, number in calls.items())
