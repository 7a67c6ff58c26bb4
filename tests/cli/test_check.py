"""`check`: a pipeline asks whether what the ledger recorded can go on with an app, before it is deployed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sagaledger import load_histories

from ..edits import edit
from .shell import Shell

APP_FILE = Path(__file__).with_name("approvals.py")
Change = Callable[[str, str], None]


@pytest.fixture
def bank(shell: Shell) -> Shell:
    """A shell with the app of payouts: one is paid out, one waits for its approval."""
    shutil.copy(APP_FILE, shell.folder)
    shell.environment["SAGALEDGER_APP"] = "approvals:APP"
    assert shell("init").returncode == 0
    for number in ("1", "2"):
        assert shell("start", "payout", "--input", json.dumps({"number": number})).returncode == 0
    assert shell("approve", "payout-1", "approval", "--reason", "checked").returncode == 0
    assert shell("worker", "--until-idle").returncode == 0
    return shell


@pytest.fixture
def change(bank: Shell) -> Change:
    """Replaces a part of the app's code, as it was first."""
    source = bank.folder / "approvals.py"
    original = source.read_text()

    def change(before: str, after: str) -> None:
        assert before in original
        source.write_text(original.replace(before, after))

    return change


def checked(bank: Shell, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the document of a check."""
    done = bank("check", "--json", *words)
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["compatible"] is (done.returncode == 0)
    return done.returncode, document


def test_a_check_compares_an_app_with_what_was_recorded(bank: Shell, change: Change) -> None:
    """Same, additive, breaking with what changed, and missing; it exits with 4 if something recorded cannot go on."""
    code, same = checked(bank, "--replay", "all")
    assert (code, same["replayed"], same["divergences"], same["unreadable_events"]) == (0, 2, [], [])
    file = bank.folder / "histories.jsonl"  # of several histories, one after the other
    file.write_text("".join(bank("history", saga_id, "--json").stdout for saga_id in ("payout-1", "payout-2")))
    assert [(saga.saga_id, saga.definition, saga.version) for saga in load_histories(file)] == [
        ("payout-1", "payout", 1),
        ("payout-2", "payout", 1),
    ]
    [version] = same["definitions"]
    assert version == {
        "definition": "payout",
        "version": 1,
        "verdict": "same",
        "unfinished": 1,
        "sagas": 2,
        "differences": [],
    }
    assert {view["verdict"] for view in same["views"]} == {"same"}

    change('bank: str = "open"', 'currency: str = "EUR"\n    bank: str = "open"')
    code, additive = checked(bank, "--replay", "1")
    assert (code, additive["replayed"]) == (0, 1)
    [version] = additive["definitions"]
    assert (version["verdict"], version["differences"]) == (
        "additive",
        [{"place": "field 'currency' of the input", "change": "was added, and may be absent", "breaking": False}],
    )

    change('payout.wait_for("approval"', 'payout.sleep("rest", seconds=1)\npayout.wait_for("approval"')
    code, breaking = checked(bank, "--replay", "all")
    assert code == 4
    assert [difference["change"] for difference in breaking["definitions"][0]["differences"]] == ["was added"]
    assert {each["saga_id"]: (each["version"], each["recorded"]) for each in breaking["divergences"]} == {
        "payout-1": (5, "StepStarted of 'approval'"),
        "payout-2": (4, "StepStarted of 'approval'"),
    }
    told = bank("check", "--replay", "all")
    assert told.returncode == 4
    assert "step 'rest' was added" in told.stdout
    assert "the definition would start 'rest' (attempt 1)" in told.stdout
    assert "NOT compatible" in told.stdout
    assert "register what changed as a new version" in told.stderr

    change('Saga("payout", ', 'Saga("payout", version=2, ')
    code, missing = checked(bank)
    assert code == 4
    assert [(each["version"], each["verdict"]) for each in missing["definitions"]] == [(1, "breaking"), (2, "new")]
    assert bank("cancel", "payout-2", "--reason", "not now").returncode == 0
    change("Struct", "Struct")
    assert bank("worker", "--until-idle").returncode == 0
    change('Saga("payout", ', 'Saga("payout", version=2, ')
    code, gone = checked(bank)
    assert code == 0
    assert [(each["version"], each["verdict"]) for each in gone["definitions"]] == [(1, "gone"), (2, "new")]


def test_a_check_names_views_and_events_that_the_app_does_not_read(bank: Shell) -> None:
    """A view of an older version is rebuilt by `init`; one of a newer version, and unknown events, are breaking."""
    database = bank.environment["SAGALEDGER_DB"]
    edit(database, "UPDATE projections SET version = 1 WHERE name = 'sagas'")
    code, older = checked(bank)
    assert code == 0
    assert [(view["view"], view["verdict"]) for view in older["views"] if view["verdict"] != "same"] == [
        ("sagas", "additive")
    ]

    edit(database, "UPDATE projections SET version = 99 WHERE name = 'sagas'")
    code, newer = checked(bank)
    assert code == 4
    assert [view["verdict"] for view in newer["views"] if view["view"] == "sagas"] == ["breaking"]

    edit(
        database,
        "UPDATE projections SET version = 1 WHERE name = 'sagas'",
        "UPDATE events SET topic = 'Forgotten' WHERE position = 2",
        "UPDATE events SET topic = 'application:Of.TheLibrary' WHERE position = 1",
        "UPDATE events SET schema_version = 7 WHERE position = 3",
    )
    code, unknown = checked(bank)
    assert code == 4
    assert [(each["topic"], each["schema_version"], each["events"]) for each in unknown["unreadable_events"]] == [
        ("Forgotten", 1, 1),
        ("SignalReceived", 7, 1),
    ]


def test_a_check_writes_nothing_and_needs_an_app(sqlite_shell: Shell) -> None:
    """Also of a ledger without views, and of a file that may only be read; what it cannot use is refused."""
    shell = sqlite_shell
    shutil.copy(APP_FILE, shell.folder)
    assert shell("start", "payout", "--input", '{"number": "1"}', "--app", "approvals:APP").returncode == 0
    file = shell.folder / "sagaledger.db"
    file.chmod(0o400)
    before = file.read_bytes()

    assert shell("check", "--app", "approvals:APP", "--replay", "all").returncode == 0
    assert file.read_bytes() == before
    without = shell("check")
    assert (without.returncode, "needs everything that is to be compared" in without.stderr) == (2, True)
    for wrong in ("some", "-1", "1.5", "9" * 30):
        assert shell("check", "--app", "approvals:APP", f"--replay={wrong}").returncode == 2


def test_an_input_with_an_unknown_field_is_refused(sqlite_shell: Shell) -> None:
    """And named, with what the type has; nothing is started."""
    shutil.copy(APP_FILE, sqlite_shell.folder)
    sqlite_shell.environment["SAGALEDGER_APP"] = "approvals:APP"

    refused = sqlite_shell("start", "payout", "--input", '{"number": "1", "amount": 5}')

    assert refused.returncode == 2
    assert "its type has no field 'amount' (it has number, bank there)" in refused.stderr
    assert sqlite_shell.json("list")["sagas"] == []
