"""What cannot be used: one line naming thing, place and remedy, a documented exit code, no traceback."""

from __future__ import annotations

import gzip
import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from .shell import ORDER, PROGRAM, Shell

CHUNK_BYTES = 64 * 1024
HUGE_BYTES = 64 * 1024 * 1024
FULFIL = ("start", "fulfil_order", "--app", "shop", "--input")


@pytest.fixture(scope="module")
def empty_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell on an empty ledger that has the views of the shop."""
    opened = Shell(tmp_path_factory.mktemp("empty-shop"))
    assert opened("init", "--app", "shop").returncode == 0
    yield opened
    opened.close()


def refused(shell: Shell, *words: str) -> tuple[int, str]:
    """The exit code and the one line of a command that must fail."""
    done = shell(*words)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("sagaledger: ")
    return done.returncode, done.stderr.removeprefix("sagaledger: ").strip()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("start", "nope", "--input", "{}"), 3, "no saga 'nope' is registered"),
        ((*FULFIL, "{}"), 2, "missing required field `order_id`"),
        ((*FULFIL, "{"), 2, "--input is not JSON"),
        ((*FULFIL, "@nope.json"), 2, "nope.json cannot be read: No such file"),
        (("query", "nope"), 2, "there is no view 'nope'"),
        (("query", "orders", "--where", "nope=1"), 2, "view 'orders' has no column 'nope'"),
        (("query", "orders", "--where", "lines=many"), 2, "takes a whole number, not 'many'"),
        (("query", "orders", "--where", "lines"), 2, "not of the form COLUMN=VALUE"),
        (("query", "orders", "--limit", "0"), 2, "1 to 10,000 rows"),
        (("list", "--since", "yesterday"), 2, "'yesterday' is not a time"),
        (("list", "--status", "lost"), 2, "--status"),
        (("list", "--after", "nonsense"), 2, "is no cursor"),
        (("state", "x", "--at", "soon"), 2, "'soon' is no moment"),
        (("verify", "--expect", "12"), 2, "POSITION:HASH"),
        (("projections", "rebuild", "nope"), 2, "there is no view 'nope'"),
        (("intervene", "skip", "x", "--reason", "y", "--result", "1"), 2, "--result belongs to"),
        (("cancel", "x", "--reason", " "), 2, "--reason is empty"),
        (("cancel", "x"), 2, "--reason"),
        (("run", "nope.csv"), 2, "nope.csv cannot be read: No such file"),
        (("run", "."), 2, "known format"),
        (("bogus",), 2, "bogus"),
        (("list", "--bogus"), 2, "--bogus"),
        (("list", "--app", "nope:APP"), 2, "there is no module 'nope'"),
        (("list", "--app", "json:APP"), 2, "module json has no 'APP'"),
        (("list", "--app", "json:loads"), 2, "not an App"),
        (("list", "--app", "json"), 2, "not of the form module:object"),
        (("list", "--app", "nope.py:APP"), 2, "there is no file"),
        (("list", "--db", "mysql://localhost/x"), 5, "use sqlite:///"),
        (("list", "--db", "sqlite:////nope/x.db"), 5, "the folder /nope does not exist"),
        (("list", "--db", "postgresql://u:secret@127.0.0.1:9/x"), 5, "cannot be reached"),
        (("demo", "--db", "postgresql://localhost/x"), 2, "the demo makes a SQLite file"),
    ],
)
def test_bad_words_are_explained(empty_shop: Shell, words: tuple[str, ...], code: int, says: str) -> None:
    """Each mistake has its exit code and says what is wrong; a password is never shown."""
    found, message = refused(empty_shop, *words)
    assert (found, says in message) == (code, True), message
    assert "secret" not in message


def test_a_failed_start_leaves_nothing(sqlite_shell: Shell) -> None:
    """Nothing is half-done."""
    refused(sqlite_shell, *FULFIL, "{}")
    assert sqlite_shell.json("projections")["head_position"] == 0


def test_an_input_that_is_too_large_is_refused(sqlite_shell: Shell) -> None:
    """Its size, the limit, and what to do instead."""
    (sqlite_shell.folder / "large.json").write_text(json.dumps({**ORDER, "lines": ORDER["lines"] * 6000}))
    code, message = refused(sqlite_shell, *FULFIL, "@large.json")
    assert code == 2
    assert "pass a reference" in message
    assert sqlite_shell.json("projections")["head_position"] == 0


def test_a_huge_input_is_refused_without_being_read(sqlite_shell: Shell) -> None:
    """Of 64 MiB on stdin the command takes a small part, and hangs up on the rest."""
    taken = 0
    with subprocess.Popen(
        [PROGRAM, *FULFIL, "-"],
        cwd=sqlite_shell.folder,
        env=sqlite_shell.environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        with suppress(BrokenPipeError), process.stdin as stdin:
            while taken < HUGE_BYTES:
                taken += stdin.write(b"[" * CHUNK_BYTES)
        message = process.stderr.read().decode()

    assert process.returncode == 2
    assert "pass a reference" in message
    assert taken < HUGE_BYTES // 16


def test_an_id_used_with_another_input_is_a_conflict(sqlite_shell: Shell) -> None:
    """The key decides the id, whatever the input says."""
    sqlite_shell(*FULFIL, json.dumps(ORDER), "--id", "K")
    code, message = refused(sqlite_shell, *FULFIL, json.dumps({**ORDER, "order_id": "T2"}), "--id", "K")
    assert code == 4
    assert "fulfil_order-K" in message


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.csv", b"", "is empty"),
        ("columns.csv", b"a,b\n1,2\n", "the header"),
        ("orders.txt", b"x", "no known format"),
        ("cut.csv.gz", gzip.compress(b"InvoiceNo," * 1000)[:40], "damaged"),
    ],
    ids=["empty", "columns", "unknown", "cut"],  # a compressed file holds the time, and names no test
)
def test_a_file_that_is_no_file_of_orders_is_refused(sqlite_shell: Shell, name: str, content: bytes, says: str) -> None:
    """The file as a whole cannot be used: exit code 2, and no ledger is made."""
    (sqlite_shell.folder / name).write_bytes(content)
    code, message = refused(sqlite_shell, "run", name)

    assert (code, says in message, name in message) == (2, True, True), message
    assert not (sqlite_shell.folder / "sagaledger.db").exists()


def test_a_database_that_is_not_ours_is_left_alone(sqlite_shell: Shell) -> None:
    """Another program's file, and a file that is no database."""
    other = sqlite_shell.folder / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    (sqlite_shell.folder / "notes.db").write_text("not a database, but long enough to be mistaken for one" * 20)

    for name in ("other.db", "notes.db"):
        code, message = refused(sqlite_shell, "list", "--db", f"sqlite:///{name}")
        assert (code, name in message) == (5, True), message


def test_postgresql_without_a_schema_names_init(tmp_path: Path, empty_schema_url: str) -> None:
    """The remedy is a command, and it works."""
    shell = Shell(tmp_path, empty_schema_url)
    code, message = refused(shell, "list")
    assert code == 5
    assert "sagaledger init" in message
    assert shell("init").returncode == 0
    assert shell.json("list")["sagas"] == []


def test_an_unforeseen_error_is_one_line_that_asks_for_a_report(sqlite_shell: Shell) -> None:
    """No traceback unless it is asked for."""
    (sqlite_shell.folder / "odd.py").write_text(
        "from sagaledger.infrastructure.ledger.app import App\nAPP = App()\ndel APP.registry\n"
    )
    assert sqlite_shell("init").returncode == 0
    code, message = refused(sqlite_shell, "list", "--app", "odd:APP")
    assert code == 70
    assert "SAGALEDGER_DEBUG=1" in message
    sqlite_shell.environment["SAGALEDGER_DEBUG"] = "1"
    assert "Traceback" in sqlite_shell("list", "--app", "odd:APP").stderr
