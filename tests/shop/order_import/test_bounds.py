"""The bounds of a file of orders, and what its report of rejects may never overwrite."""

from __future__ import annotations

import csv
import gzip
import os
import tracemalloc
from pathlib import Path

import pytest

from sagaledger.infrastructure.shop.order_import import (
    OrderFileError,
    check_rejects_file,
    order_file,
    read_file,
    write_rejects,
)
from sagaledger.infrastructure.shop.order_import import lines as file_lines

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
GOOD = "536365,85123A,LANTERN,6,2010-12-01 08:26:00,2.55,17850,United Kingdom\n"


def test_a_file_that_expands_too_much_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that becomes a large one is refused once that shows, with little memory."""
    monkeypatch.setattr(file_lines, "EXPANDED_BYTES_MIN", 100_000)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(HEADER.encode() + (b"x" * 999 + b"\n") * 5_000))
    tracemalloc.start()
    with pytest.raises(OrderFileError, match="expands more than 100-fold"):
        read_file(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 8 * 1024**2


@pytest.mark.parametrize(
    ("where", "limit", "says"),
    [(file_lines, "CONTENT_BYTES_MAX", "bytes, uncompressed"), (order_file, "INVOICES_BYTES_MAX", "bytes of memory")],
)
def test_a_file_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: object, limit: str, says: str
) -> None:
    """Its size, and the memory of its invoices."""
    monkeypatch.setattr(where, limit, 10_000)
    (tmp_path / "large.csv").write_text(HEADER + GOOD * 200)
    with pytest.raises(OrderFileError, match=says):
        read_file(tmp_path / "large.csv")


@pytest.mark.parametrize(("limit", "value"), [("REJECTS_MAX", 5), ("REJECTS_CHARS_MAX", 150)])
def test_rejects_beyond_the_bounds_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    """The report lists the first ones, and says on its last line how many more there are."""
    monkeypatch.setattr(order_file, limit, value)
    (tmp_path / "bad.csv").write_text(HEADER + "only one column here\n" * 40)
    found = read_file(tmp_path / "bad.csv")
    write_rejects(tmp_path / "rejects.csv", found.rejects, unlisted=found.rejects_unlisted)

    with (tmp_path / "rejects.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert (found.lines_in, found.lines_rejected) == (40, 40)
    assert 1 < len(rows) < 10
    assert rows[-1][1] == f"{40 - len(found.rejects)} more lines were rejected, and are not listed"


@pytest.mark.parametrize(
    "kind", ["itself", "link", "dangling link", "hard link", "other file", "folder", "fifo", "dots"]
)
def test_a_report_never_overwrites_what_is_not_one(tmp_path: Path, kind: str) -> None:
    """Not the input under any name, nothing by a link, and no file of somebody else."""
    used, path = tmp_path / "orders.csv", tmp_path / "rejects.csv"
    used.write_text(HEADER)
    match kind:
        case "itself":
            path = used
        case "link":
            path.symlink_to(used)
        case "dangling link":
            path.symlink_to(tmp_path / "none")
        case "hard link":
            path.hardlink_to(used)
        case "other file":
            path.write_text("dear diary")
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "dots":
            (tmp_path / "sub").mkdir()
            path = tmp_path / "sub" / ".." / "orders.csv"
    before = sorted(each.name for each in tmp_path.iterdir())

    for refuse in (check_rejects_file, lambda path, used: write_rejects(path, [], used=used)):
        with pytest.raises(OrderFileError, match=r"cannot be written to .*--rejects"):
            refuse(path, used=[used])
    assert used.read_text() == HEADER
    assert sorted(each.name for each in tmp_path.iterdir()) == before


def test_a_report_does_not_take_the_place_of_a_file_to_come(tmp_path: Path) -> None:
    """The ledger may not exist yet; its name is taken nevertheless."""
    with pytest.raises(OrderFileError, match="which this run uses"):
        check_rejects_file(tmp_path / "x" / ".." / "new.db", used=[tmp_path / "new.db"])


def test_a_report_replaces_an_earlier_one_and_is_private(tmp_path: Path) -> None:
    """A hard link to the earlier report keeps its content, and only the owner may read the new one."""
    path, kept = tmp_path / "rejects.csv", tmp_path / "kept.csv"
    (tmp_path / "bad.csv").write_text(HEADER + "-1,=cmd\n")
    write_rejects(path, [])
    kept.hardlink_to(path)
    write_rejects(path, read_file(tmp_path / "bad.csv").rejects)

    assert kept.read_text().splitlines() == ["line,reason,content"]
    assert path.read_text().splitlines()[1].endswith('"\'-1,=cmd"')
    assert path.stat().st_mode & 0o777 == 0o600
    write_rejects(Path(os.devnull), [])
