"""`schedules`: seeing them and deciding about them, with and without the app that declares them."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

import pytest

from .shell import Shell

APP = """
from sagaledger import App, Saga, Schedule

settlement = Saga("settlement", input=str)

@settlement.step(compensable=False)
def settle(day, ctx):
    return day

APP = App(
    sagas=[settlement],
    schedules=[Schedule("nightly", settlement, cron="0 2 * * *", timezone="Europe/London", input=lambda t: str(t.at))],
)
"""


@pytest.fixture
def nightly(sqlite_shell: Shell) -> Shell:
    """A shell on a ledger in which a worker has declared a schedule; its environment names no app."""
    (sqlite_shell.folder / "nightly.py").write_text(APP)
    work(sqlite_shell)
    return sqlite_shell


def work(shell: Shell) -> None:
    """A worker comes, does what there is to do, and is gone."""
    done = shell("worker", "--until-idle", "--app", "nightly:APP")
    assert done.returncode == 0, done.stderr


def test_a_schedule_is_listed_paused_resumed_triggered_and_backfilled_without_its_app(nightly: Shell) -> None:
    """Each decision has an actor and a reason; a worker with the app does what was decided."""
    [listed] = nightly.json("schedules", "list")["schedules"]
    assert (listed["schedule"], listed["status"], listed["started"]) == ("nightly", "active", 0)
    assert listed["next_tick"].endswith(":00:00.000000Z")

    paused = nightly.json("schedules", "pause", "nightly", "--reason", "closed", "--actor", "ann")
    assert (paused["status"], paused["actor"]) == ("paused", "ann")
    again = nightly("schedules", "pause", "nightly", "--reason", "closed")
    assert (again.returncode, "by ann" in again.stderr) == (4, True)
    assert nightly.json("schedules", "list")["schedules"][0]["pause_reason"] == "closed"
    assert nightly("schedules", "resume", "nightly", "--reason", "open").stdout.startswith("nightly is resumed")

    triggered = nightly("schedules", "trigger", "nightly", "--reason", "test")
    assert triggered.stdout == "nightly: a worker starts it as settlement-nightly@trigger-1\n"
    assert "no worker is running" in triggered.stderr
    today = datetime.now(UTC).date()
    span = ("--from", str(today - timedelta(days=3)), "--to", str(today - timedelta(days=1)))
    backfilled = nightly.json("schedules", "backfill", "nightly", *span, "--reason", "before it existed")
    assert len(backfilled["ticks"]) == 2
    for _ in range(3):  # they do not overlap: one after the other
        work(nightly)

    assert {row["status"] for row in nightly.json("list")["sagas"]} == {"completed"}
    shown = nightly.json("schedules", "show", "nightly")
    assert (shown["started"], shown["waiting"], len(shown["next_ticks"])) == (3, 0, 5)
    assert [each["event"] for each in shown["latest"]][:4] == [
        "ScheduleDeclared",
        "SchedulePaused",
        "ScheduleResumed",
        "ScheduleTriggered",
    ]
    text = nightly("schedules", "show", "nightly", "--next", "2").stdout
    assert "0 2 * * * (Europe/London)" in text
    assert "3 started, 0 skipped, 0 waiting" in text
    assert "ScheduleTickStarted" in nightly("history", "settlement-nightly@trigger-1").stdout
    assert nightly("verify").returncode == 0


def test_what_cannot_be_is_refused(nightly: Shell) -> None:
    """With the exit codes of every command."""
    assert nightly("schedules", "show", "weekly").returncode == 3
    assert nightly("schedules", "trigger", "nightly", "--reason", " ").returncode == 2
    wrong = nightly("schedules", "backfill", "nightly", "--from", "yesterday", "--to", "2026-03-01", "--reason", "x")
    assert (wrong.returncode, "is not a time" in wrong.stderr) == (2, True)
    other = json.loads(nightly("schedules", "list", "--json", "--app", "shop").stdout)
    assert other["schedules"][0]["status"] == "not declared"


def test_reading_schedules_does_not_need_the_library(nightly: Shell) -> None:
    """Without `cronsim`, all but the next tick is shown."""
    (nightly.folder / "cronsim.py").write_text("raise ImportError")
    listed = nightly.line(
        f'PYTHONPATH=. {sys.executable} -c "from sagaledger.infrastructure.cli.main import main; main()"'
        " schedules list --json"
    )

    [found] = json.loads(listed.stdout)["schedules"]
    assert (found["schedule"], found["next_tick"]) == ("nightly", None)
    shown = nightly.line(
        f'PYTHONPATH=. {sys.executable} -c "from sagaledger.infrastructure.cli.main import main; main()"'
        " schedules show nightly"
    )
    assert (shown.returncode, "pip install 'sagaledger[schedules]'" in shown.stderr) == (0, True)
