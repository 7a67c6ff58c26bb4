"""The demo, and the commands that it ends with."""

from __future__ import annotations

from .shell import Shell


def test_every_command_that_the_demo_prints_works_as_printed(sqlite_shell: Shell) -> None:
    """A new user copies them one by one; all succeed."""
    shown = sqlite_shell("demo")
    assert shown.returncode == 0, shown.stderr
    commands = [line.strip() for line in shown.stdout.splitlines() if line.startswith("  sagaledger ")]

    assert len(commands) >= 8
    assert "↩ StepCompensated" in shown.stdout
    for command in commands:
        done = sqlite_shell.line(command)
        assert done.returncode == 0, (command, done.stderr)


def test_the_demo_replaces_only_its_own_file(sqlite_shell: Shell) -> None:
    """Again is fresh; a ledger of the user's, and any other file, is left alone."""
    first = sqlite_shell.json("demo")
    assert sqlite_shell.json("demo")["events"] == first["events"]
    sqlite_shell("init", "--db", "sqlite:///mine.db")
    started = (
        "start",
        "return_goods",
        "--app",
        "shop",
        "--input",
        '{"return_id":"R","requested_at":"2026-03-01T02:17:05Z","lines":[]}',
    )
    (sqlite_shell.folder / "notes.db").write_text("dear diary")

    assert sqlite_shell(*started, "--db", "sqlite:///mine.db").returncode == 2
    done = sqlite_shell("demo", "--db", "sqlite:///notes.db")
    assert done.returncode == 4
    assert (sqlite_shell.folder / "notes.db").read_text() == "dear diary"


def test_the_demo_leaves_a_ledger_of_the_users_alone(sqlite_shell: Shell) -> None:
    """A file with other events is never removed, even if its name is the demo's."""
    order = '{"order_id":"T1","placed_at":"2026-03-01T02:17:05Z","lines":[{"sku":"S","quantity":1,"amount_minor":1}]}'
    sqlite_shell("start", "fulfil_order", "--app", "shop", "--input", order, "--db", "sqlite:///sagaledger-demo.db")

    assert sqlite_shell("demo").returncode == 4
    assert sqlite_shell.json("list", "--db", "sqlite:///sagaledger-demo.db")["sagas"] != []
