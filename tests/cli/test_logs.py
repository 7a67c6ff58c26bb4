"""The log of commands that work until they are stopped: text for a terminal, or JSON, one object a line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from .shell import Shell

APP_FILE = Path(__file__).with_name("parcels.py")
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def parcels(sqlite_shell: Shell) -> Shell:
    """A shell with the app, and two sagas to be worked."""
    shutil.copy(APP_FILE, sqlite_shell.folder)
    sqlite_shell.environment["SAGALEDGER_APP"] = "parcels.py:APP"
    for what in ("book", "lion"):
        assert sqlite_shell("start", "parcel", "--input", json.dumps(what), "--id", what).returncode == 0
    return sqlite_shell


def documents(messages: str) -> list[dict[str, Any]]:
    """Every line of stderr, which must be an object."""
    found = [json.loads(line) for line in messages.splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in found)
    return found


def test_json_has_one_object_a_line_and_nothing_else(parcels: Shell) -> None:
    """Also what the command says, and what the app logs; the fields say which saga, step and attempt it was."""
    done = parcels("worker", "--until-idle", "--log-format", "json", "--json")

    assert json.loads(done.stdout)["stopped_by"] is None
    lines = documents(done.stderr)
    assert all(re.fullmatch(INSTANT, line["time"]) for line in lines)
    failed = next(line for line in lines if line["level"] == "warning" and line["saga_id"] == "parcel-book")
    assert failed["message"] == "attempt 1 at step weigh of saga parcel-book failed (its policy allows 2)"
    told = ("definition", "step", "direction", "attempt", "error_type")
    assert [failed[name] for name in told] == ["parcel", "weigh", "forward", 1, "ConnectionError"]
    assert failed["traceback"].startswith("Traceback (most recent call last):\n")
    assert "no scale for book" in failed["traceback"].splitlines()[-1]
    [started] = [line for line in lines if line["message"].startswith("worker") and "started" in line["message"]]
    assert failed["worker"] == started["worker"]
    ended = {line["saga_id"]: line for line in lines if "status" in line}
    assert {saga_id: line["status"] for saga_id, line in ended.items()} == {
        "parcel-book": "completed",
        "parcel-lion": "compensated",
    }
    assert all(line["duration_seconds"] > 0 and line["level"] == "info" for line in ended.values())
    [refused] = [line for line in lines if line.get("error_type") == "StepRejected"]
    assert (refused["level"], refused["saga_id"], "traceback" in refused) == ("info", "parcel-lion", False)
    assert {"parcels", "sagaledger.cli"} < {line["logger"] for line in lines}
    wrong = [line["message"] for line in lines if "kilograms" in line["message"]]
    assert wrong[0].startswith("%d kilograms (the arguments of this message do not fit it: ")


def test_text_has_the_time_the_level_and_what_a_person_needs(parcels: Shell) -> None:
    """The error is on the line itself; its traceback is below, and obeys no terminal."""
    done = parcels("worker", "--until-idle")

    lines = done.stderr.splitlines()
    at = next(number for number, line in enumerate(lines) if "saga parcel-book failed" in line)
    assert re.fullmatch(
        rf"{INSTANT} WARNING attempt 1 at step weigh of saga parcel-book failed \(its policy allows 2\): "
        r"ConnectionError: \\x1b\[31mno scale for book\\ud800",
        lines[at],
    )
    assert lines[at + 1] == "    Traceback (most recent call last):"
    assert any(re.fullmatch(rf"{INSTANT} INFO    parcels: weighing book", line) for line in lines)
    assert any(re.fullmatch(rf"{INSTANT} INFO    parcels: %d kilograms \(the arguments .*\)", line) for line in lines)
    assert any(re.fullmatch(rf"{INSTANT} INFO    saga parcel-book ended: completed after .* s", line) for line in lines)
    assert "\x1b" not in done.stderr


def test_a_level_leaves_out_what_is_below(parcels: Shell) -> None:
    """The option wins over the variable."""
    parcels.environment |= {"SAGALEDGER_LOG_LEVEL": "error", "SAGALEDGER_LOG_FORMAT": "json"}

    done = parcels("worker", "--until-idle", "--log-level", "warning")

    levels = [line["level"] for line in documents(done.stderr) if line["logger"] != "sagaledger.cli"]
    assert levels == ["warning"] * 2


def test_the_variables_are_the_defaults(parcels: Shell) -> None:
    """A process manager sets them for every command."""
    parcels.environment |= {"SAGALEDGER_LOG_LEVEL": "error", "SAGALEDGER_LOG_FORMAT": "json"}

    done = parcels("worker", "--until-idle")

    assert {line["logger"] for line in documents(done.stderr)} == {"sagaledger.cli"}


@pytest.mark.parametrize("name", ["SAGALEDGER_LOG_LEVEL", "SAGALEDGER_LOG_FORMAT"])
def test_a_variable_with_another_value_is_refused(sqlite_shell: Shell, name: str) -> None:
    """The message says which values there are."""
    sqlite_shell.environment[name] = "loud"

    done = sqlite_shell("worker", "--until-idle", "--app", "shop")

    assert done.returncode == 2
    assert f"{name}='loud': use one of " in done.stderr


def test_an_error_that_ends_the_command_is_an_object_too(sqlite_shell: Shell) -> None:
    """Nothing on stderr is outside of the format."""
    done = sqlite_shell("worker", "--log-format", "json", "--app", "parcels_that_do_not_exist:APP")

    assert done.returncode != 0
    [line] = documents(done.stderr)
    assert "parcels_that_do_not_exist" in line["message"]


def test_a_demo_shows_no_log_but_warnings(sqlite_shell: Shell) -> None:
    """Unless it is asked to: refusals and ends are INFO."""
    quiet = sqlite_shell("demo", "--db", f"sqlite:///{sqlite_shell.folder / 'demo.db'}")
    told = sqlite_shell("demo", "--db", f"sqlite:///{sqlite_shell.folder / 'demo.db'}", "--log-level", "info")

    assert "INFO" not in quiet.stderr
    assert re.search(rf"{INSTANT} INFO    saga \S+ ended: completed", told.stderr)
