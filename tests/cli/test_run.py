"""Taking a file of orders in from the command line."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sagaledger.infrastructure.shop.order_import import SLICE

from .shell import Shell, until

TERMS = ("--decline-rate", "0.1", "--seed", "7")
KEYS = [
    "lines_in", "lines_in_orders", "lines_in_returns", "lines_rejected", "orders", "returns", "invoices_in_conflict",
    "sagas", "events", "seconds", "sagas_per_second", "head_position", "rejects",
]  # fmt: skip


def test_run_accounts_for_every_line_and_every_sum(shell: Shell) -> None:
    """Lines, money and stock all add up, on both backends with the same outcomes."""
    report = shell.json("run", str(SLICE), *TERMS)

    assert list(report) == KEYS
    assert report["lines_in"] == report["lines_in_orders"] + report["lines_in_returns"] + report["lines_rejected"]
    assert report["sagas"] == {"compensated": 11, "completed": 89}
    completed = shell.json("query", "orders", "--where", "status=completed", "--limit", "1000")["rows"]
    payments = shell.json("query", "payments", "--limit", "1000")["rows"]
    returned = sum(p["refunded_minor"] for p in payments if p["captured_minor"] == 0)
    kept = sum(p["captured_minor"] - p["refunded_minor"] for p in payments)
    assert kept == sum(order["total_minor"] for order in completed) - returned
    for article in shell.json("query", "inventory", "--limit", "10000")["rows"]:
        there = article["on_hand"] + article["reserved"] + article["shipped"] - article["returned"]
        assert article["received"] == there
    assert shell("verify").returncode == 0


def test_run_again_goes_on_and_counts_the_file(shell: Shell) -> None:
    """The second run records nothing and reports the same file."""
    first = shell.json("run", str(SLICE), *TERMS)
    second = shell.json("run", str(SLICE), *TERMS)

    same = [key for key in KEYS if "second" not in key]
    assert [second[key] for key in same] == [first[key] for key in same]


def test_run_on_other_terms_is_a_conflict(shop: Shell) -> None:
    """What was begun with one seed cannot go on with another: exit code 4, and the terms are named."""
    done = shop("run", str(SLICE), "--seed", "8")
    assert done.returncode == 4
    assert "seed 7" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_run_reports_rejected_lines_beside_it(shop: Shell) -> None:
    """The report of rejects names line and reason."""
    report = (shop.folder / "online_retail_slice.rejects.csv").read_text().splitlines()
    assert report[0] == "line,reason,content"
    assert len(report) == 2


def test_an_interrupted_run_goes_on_where_it_stopped(sqlite_shell: Shell) -> None:
    """Ctrl-C exits 130 without a traceback; the same command again ends with the same outcomes."""
    process = sqlite_shell.background("run", str(SLICE), *TERMS, "--concurrency", "1")
    with _held_up(sqlite_shell, beyond=600):  # the stock is on record then, and sagas run
        process.send_signal(signal.SIGINT)
    _, messages = process.communicate()

    assert messages.splitlines() == [
        "what has begun is on record: run it again to go on",
        "sagaledger: interrupted",
    ]
    assert process.returncode == 130
    assert sqlite_shell.json("run", str(SLICE), *TERMS)["sagas"] == {"compensated": 11, "completed": 89}


def test_a_killed_run_goes_on_where_it_stopped(sqlite_shell: Shell) -> None:
    """SIGKILL in the middle loses nothing and does nothing twice."""
    process = sqlite_shell.background("run", str(SLICE), *TERMS, "--concurrency", "2")
    with _held_up(sqlite_shell, beyond=600):
        process.kill()
        process.wait()

    assert sqlite_shell.json("run", str(SLICE), *TERMS)["sagas"] == {"compensated": 11, "completed": 89}
    assert sqlite_shell("verify", "--app", "shop").returncode == 0


def test_run_leaves_the_sagas_to_a_worker_that_has_the_file(sqlite_shell: Shell) -> None:
    """SQLite takes one worker: with one at work, the run starts the sagas and waits for them."""
    sqlite_shell.worker("--app", "shop")
    done = sqlite_shell("run", str(SLICE), *TERMS, "--json")

    assert done.returncode == 0, done.stderr
    assert "left to that worker" in done.stderr
    assert json.loads(done.stdout)["sagas"] == {"compensated": 11, "completed": 89}


@contextmanager
def _held_up(shell: Shell, *, beyond: int) -> Iterator[None]:
    """Wait until the log is beyond a position, and let nobody write meanwhile: a run would be over in a moment."""
    until(lambda: _head(shell) > 0)
    with closing(sqlite3.connect(shell.folder / "sagaledger.db", timeout=0, isolation_level=None)) as file:

        def come_so_far() -> bool:
            try:
                file.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise
                return False  # the run is writing; SQLite's own wait could last until it is over
            (position,) = file.execute("SELECT position FROM head").fetchone()
            if position <= beyond:
                file.execute("ROLLBACK")
            return bool(position > beyond)

        until(come_so_far, every_seconds=0.001)
        yield
        file.execute("ROLLBACK")


def _head(shell: Shell) -> int:
    if not (shell.folder / "sagaledger.db").exists():
        return 0
    with closing(sqlite3.connect(shell.folder / "sagaledger.db")) as file:  # a command would take longer than the run
        made = file.execute("SELECT 1 FROM sqlite_master WHERE name = 'head'").fetchone()
        return int(file.execute("SELECT position FROM head").fetchone()[0]) if made else 0


def test_a_file_with_broken_lines_is_taken_in_without_them(sqlite_shell: Shell) -> None:
    """A half-written last line and a bad quantity are rejected; the rest is worked."""
    lines = SLICE.read_text().splitlines()[:5]
    file = Path(sqlite_shell.folder / "broken.csv")
    file.write_text(
        "\n".join([*lines, "536365,85123A,CANDLE,many,2010-12-01 08:26:00,1.0,17850,United Kingdom", "5363"])
    )

    report = sqlite_shell.json("run", "broken.csv")

    assert (report["lines_in"], report["lines_rejected"]) == (6, 2)
    assert len((sqlite_shell.folder / report["rejects"]).read_text().splitlines()) == 3
