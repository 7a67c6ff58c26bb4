"""How the command `worker` ends: after a mistake of its own, and after a signal, whatever its steps raised before."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.ledger.ledger import Ledger

from .shell import PATIENCE_SECONDS, Shell

APP_FILE = Path(__file__).with_name("breakdowns.py")


@pytest.fixture
def breakdowns(shell: Shell) -> Shell:
    """A shell with an app whose steps end programs, in its folder."""
    shutil.copy(APP_FILE, shell.folder)
    shell.environment["SAGALEDGER_APP"] = "breakdowns.py:APP"
    return shell


def test_a_mistake_in_the_engine_ends_the_command_with_70(breakdowns: Shell) -> None:
    """Loudly: what it was is in the log, with its traceback; the next worker can begin."""
    worker = breakdowns.worker()
    (breakdowns.folder / "break").touch()

    _, log = worker.communicate(timeout=PATIENCE_SECONDS)

    assert worker.returncode == 70
    assert " ERROR   the worker's engine ended: ZeroDivisionError: a mistake in the engine\n" in log
    assert "sagaledger: unexpected ZeroDivisionError: a mistake in the engine; this is a bug" in log
    assert "Traceback (most recent call last)" in log
    assert 'raise ZeroDivisionError("a mistake in the engine")' in log
    (breakdowns.folder / "break").unlink()
    assert breakdowns("worker", "--until-idle").returncode == 0


@pytest.mark.parametrize("error", ["SystemExit", "KeyboardInterrupt"])
def test_a_signal_ends_a_worker_whose_steps_raised_what_ends_programs(breakdowns: Shell, url: str, error: str) -> None:
    """On a thread, on the event loop and in an append: the steps have failed, and the worker obeys SIGTERM."""
    worker = breakdowns.worker("--json")
    for saga in ("in_thread", "on_loop", "in_append"):
        assert breakdowns("start", saga, "--input", json.dumps(error), "--id", "1").returncode == 0

    with Ledger.open(url) as ledger:
        for saga in ("in_thread", "on_loop", "in_append"):
            assert ledger.wait(f"{saga}-1", PATIENCE_SECONDS).status is Status.COMPENSATED
        assert worker.poll() is None
        worker.send_signal(signal.SIGTERM)
        answer, _ = worker.communicate(timeout=PATIENCE_SECONDS)
        assert ledger.backend.workers() == []

    assert worker.returncode == 0
    assert json.loads(answer)["stopped_by"] == "SIGTERM"
