"""A process killed at any crossing of its boundary: everything ends as it would have (G1, G5, G8, G9).

A few crossings in every run of the tests; each of them with `pytest tests/crash --all-crashes`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEATHS = 10
"""How many there are without the flag, spread evenly over a life."""


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_a_death_at_any_crossing_changes_no_outcome(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Starts, steps, compensations, timers, an intervention, views and a rebuild: each killed, each resumed."""
    # given a ledger for every death, of which each life begins where the one before was killed
    url = "sqlite://" if backend == "sqlite" else request.getfixturevalue("postgres_server")
    sample = 0 if request.config.getoption("all_crashes") else DEATHS
    lives = [sys.executable, "-m", "tests.crash.lives", url, str(tmp_path), str(sample)]

    # when a process dies at one crossing after another
    ended = subprocess.run(lives, cwd=ROOT, check=False, capture_output=True, text=True)

    # then everything ended as if nothing had happened, and nothing happened twice
    assert ended.returncode == 0, ended.stderr[-3000:]
    report = json.loads(ended.stdout.splitlines()[-1])
    assert report["found"] == []
    assert report["deaths"] >= (report["crossings"] if sample == 0 else DEATHS)
