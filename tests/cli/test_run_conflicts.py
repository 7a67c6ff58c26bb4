"""Invoices that cannot be started: they are counted and listed, and every other invoice is done."""

from __future__ import annotations

import json
import subprocess

import pytest

from .shell import Shell

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
STYLES = ("orchestration", "choreography")


def line(invoice: str, *, sku: str = "A") -> str:
    """One line of an invoice."""
    return f"{invoice},{sku},HEART,1,2010-12-01 08:00:00,2.55,17850,UK\n"


def run(shell: Shell, style: str, *lines: str) -> tuple[subprocess.CompletedProcess[str], dict[str, object]]:
    """Run a file of these lines."""
    (shell.folder / "day.csv").write_text(HEADER + "".join(lines))
    done = shell("run", "day.csv", "--style", style, "--concurrency", "7", "--json")
    return done, json.loads(done.stdout) if done.stdout else {}


@pytest.mark.parametrize("style", STYLES)
def test_an_invoice_in_conflict_stops_no_other(sqlite_shell: Shell, style: str) -> None:
    """A file that contradicts two invoices of an earlier one: the others are done, and again it ends the same."""
    day = [line(str(number)) for number in range(1, 31)]
    first, _ = run(sqlite_shell, style, *day[:12])
    assert first.returncode == 0, first.stderr

    for _ in range(2):
        again, report = run(sqlite_shell, style, *day, line("3", sku="B"), line("11", sku="B"))

        assert again.returncode == 4, again.stderr
        assert "2 invoices in conflict" in again.stderr
        assert report["sagas"] == {"completed": 28}
        conflicts = report["invoices_in_conflict"]
        assert isinstance(conflicts, list)
        assert sorted(each["saga_id"].rpartition("-")[2] for each in conflicts) == ["11", "3"]
        assert all("another" in each["reason"] for each in conflicts)
    rows = sqlite_shell.json("query", "sagas", "--limit", "1000")["rows"]
    assert [row["status"] for row in rows] == ["completed"] * 30


def test_an_order_of_the_other_style_is_in_conflict(sqlite_shell: Shell) -> None:
    """An order belongs to the saga that created it; the other style leaves it out, and says so."""
    run(sqlite_shell, "orchestration", line("1"))
    done, report = run(sqlite_shell, "choreography", line("1"), line("2"))

    assert (done.returncode, report["sagas"]) == (4, {"completed": 1}), done.stderr
    assert len(report["invoices_in_conflict"]) == 1  # type: ignore[arg-type]
    shown = sqlite_shell("run", "day.csv", "--style", "choreography")
    assert "invoice in conflict" in shown.stdout


def test_an_invoice_that_contradicts_itself_stops_no_other(sqlite_shell: Shell) -> None:
    """Two customers on one invoice of another edition's file: it is listed with its lines, the others are done."""
    header = "Invoice;StockCode;Description;Quantity;InvoiceDate;Price;Customer ID;Country\n"
    rows = [("1", "17850"), ("2", "17850"), ("1", "13047"), ("3", "17850")]
    lines = [f"{invoice};A;HEART;1;13/12/2010 08:00;2,55;{customer}.0;UK\n" for invoice, customer in rows]
    (sqlite_shell.folder / "ii.csv").write_text(header + "".join(lines))
    words = ("run", "ii.csv", "--columns", "online-retail-ii")

    done = sqlite_shell(*words, "--json")

    report = json.loads(done.stdout)
    assert (done.returncode, report["sagas"]) == (4, {"completed": 2}), done.stderr
    assert "1 invoice whose lines contradict each other" in done.stderr
    (conflict,) = report["invoices_in_conflict"]
    assert (conflict["saga_id"], conflict["lines"]) == ("fulfil_order-1", [2, 4])
    assert "17850 on line 2, and 13047 on line 4" in conflict["reason"]
    assert report["lines_in"] == report["lines_in_orders"] + report["lines_rejected"] == 4
    rejects = (sqlite_shell.folder / "ii.rejects.csv").read_text().splitlines()
    assert [each.partition(",")[0] for each in rejects] == ["line", "2", "4"]
    assert "fulfil_order-1" in sqlite_shell(*words).stdout
