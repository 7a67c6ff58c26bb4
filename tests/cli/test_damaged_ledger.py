"""A ledger that something else wrote to: every command answers, or names the damage and exits with 6."""
# ruff: noqa: S608 -- the statements are the test's own

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sagaledger.infrastructure.cli.exit_codes import ExitCode
from sagaledger.infrastructure.cli.main import run

from ..edits import edit

APP = """
from sagaledger import App, Saga

S = Saga("s", input=dict)

@S.step(compensable=False)
async def go(value, context):
    return 1

S.wait_for("word")
APP = App(sagas=[S])
"""
READING = [
    ("list",),
    ("query", "sagas"),
    ("query", "saga_steps"),
    ("query", "sagas", "--at", "@2"),
    ("show", "s-1"),
    ("history", "s-1"),
    ("state", "s-1"),
    ("projections",),
    ("projections", "drift", "sagas"),
    ("definitions",),
    ("cancel", "--status", "running", "--dry-run", "--reason", "why"),
    ("init",),
    ("verify",),
]
NOT_UTF8 = "CAST(x'ff' AS TEXT)"
SURROGATE = "CAST(x'eda080' AS TEXT)"
DAMAGES = {
    "sqlite": [
        ("sagas", "started_at", NOT_UTF8),
        ("sagas", "started_at", "'soon'"),
        ("sagas", "saga_id", "x'00ff'"),
        ("sagas", "version", "'one'"),
        ("saga_steps", "attempt", NOT_UTF8),
        ("projections", "error", NOT_UTF8),
        ("projections", "position", "'x'"),
        ("projections", "version", "'x'"),
        ("projections", "generation", "x'00ff'"),
        ("projection_journal", "to_position", "'x'"),
        ("head", "position", "9223372036854775807"),
        ("due", "saga_id", NOT_UTF8),
        ("events", "correlation_id", SURROGATE),
    ],
    "postgresql": [
        ("sagas", "started_at", "'294276-01-01'"),
        ("sagas", "started_at", "'4713-01-01 BC'"),
        ("saga_steps", "started_at", "'infinity'"),
        ("projections", "updated_at", "'9999-12-31 23:59:59-12'"),
        ("head", "position", "9223372036854775807"),
        ("events", "correlation_id", r"E'\u001b]0;x\u0007'"),
    ],
}


@pytest.fixture
def damaged(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A ledger with a saga and its views; the environment names it, and its app."""
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAGALEDGER_DB", url)
    monkeypatch.setenv("SAGALEDGER_APP", "app.py:APP")
    for words in (("init",), ("start", "s", "--input", "{}", "--id", "1"), ("list",), ("verify",)):
        assert run(list(words)) == ExitCode.OK
    return url


def test_every_reading_command_ends_with_a_documented_exit_code(
    damaged: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever an edit put into one column: 6, or an answer; never 70, and never a control character."""
    for table, column, value in DAMAGES[damaged.partition(":")[0]]:
        copy = f"{table}__copy"
        edit(damaged, f"CREATE TABLE {copy} AS SELECT * FROM {table}", f"UPDATE {table} SET {column} = {value}")
        for words in READING:
            code = run(list(words))
            said = capsys.readouterr()
            case = (table, column, value, words, int(code), said.err[:300])
            assert code in (ExitCode.OK, ExitCode.USAGE, ExitCode.NOT_FOUND, ExitCode.VERIFICATION_FAILED), case
            assert "\x1b" not in said.out + said.err, case
        edit(damaged, f"DELETE FROM {table}", f"INSERT INTO {table} SELECT * FROM {copy}", f"DROP TABLE {copy}")
        assert run(["verify"]) == ExitCode.OK, (table, column)


def test_a_rebuild_replaces_rows_that_cannot_be_read(damaged: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The view answers again."""
    value = "'soon'" if damaged.startswith("sqlite") else "'294276-01-01'"
    edit(damaged, f"UPDATE sagas SET started_at = {value}")
    assert run(["list"]) == ExitCode.VERIFICATION_FAILED

    rebuilt = run(["projections", "rebuild", "sagas"])

    assert rebuilt == ExitCode.OK
    capsys.readouterr()
    assert run(["list", "--json"]) == ExitCode.OK
    assert [row["saga_id"] for row in json.loads(capsys.readouterr().out)["sagas"]] == ["s-1"]


def test_init_lets_a_stopped_view_go_on(damaged: str) -> None:
    """At the event that stopped it in an older version; the next command that reads views folds on."""
    edit(damaged, "UPDATE projections SET status = 'stopped', error = 'cannot', stopped_at_position = 2")
    assert run(["verify"]) == ExitCode.VERIFICATION_FAILED

    assert run(["init"]) == ExitCode.OK

    assert run(["verify"]) == ExitCode.OK
