"""Unusable files and parameters: each is one clear error, in one line, that names the thing and what to do."""

from __future__ import annotations

import gzip

import pytest

from sagaledger.infrastructure.shop.order_import import OrderFileError, decline_rate, read_file, write_rejects

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
GOOD = "536365,85123A,LANTERN,6,2010-12-01 08:26:00,2.55,17850,United Kingdom"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.csv", b"", "is empty"),
        ("empty.jsonl", b"", "is empty"),
        ("empty.csv.gz", gzip.compress(b""), "is empty"),
        ("orders.txt", b"x", "is of no known format"),
        ("cut.csv.gz", gzip.compress((f"{HEADER}\n" + f"{GOOD}\n" * 9).encode())[:-12], "is damaged after line"),
        ("plain.csv.gz", f"{HEADER}\n".encode(), "cannot be read: Not a gzipped file"),
        ("wide.csv", HEADER.encode("utf-16"), "is UTF-16"),
        ("latin.csv", b"\xa3\n", "line 1: byte 1 of the line is not UTF-8"),
        ("two.csv", b"Invoice,StockCode\n", "line 1: the header lacks InvoiceNo, .*; does not know 'Invoice'"),
        ("twice.csv", f"{HEADER},Country\n".encode(), "line 1: the header repeats Country"),
        ("quote.csv", b'"InvoiceNo,StockCode\n', "line 1: the header cannot be read: a quote is never closed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # a compressed file holds the time, and names no test
)
def test_a_file_that_cannot_be_taken_in_is_one_clear_error(tmp_path, name, content, says) -> None:
    """What is wrong with a whole file is said in one line that names the file and what to do."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(OrderFileError, match=says) as error:
        read_file(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_one_clear_error(tmp_path) -> None:
    """A missing file and a directory are errors that name them."""
    with pytest.raises(OrderFileError, match=r"none\.csv cannot be read: No such file"):
        read_file(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OrderFileError, match=r"folder\.csv cannot be read: Is a directory"):
        read_file(tmp_path / "folder.csv")


@pytest.mark.parametrize("text", ["ten", "-0.1", "1.1", "NaN", "Infinity", ""])
def test_a_rate_is_a_fraction(text) -> None:
    """A decline rate that is no fraction from 0 to 1 is refused, with an example of one that is."""
    with pytest.raises(OrderFileError, match=r"such as 0\.1"):
        decline_rate(text)


def test_a_report_that_cannot_be_written_is_one_clear_error(tmp_path) -> None:
    """A report in a folder that is not there is an error that names it."""
    with pytest.raises(OrderFileError, match=r"rejects\.csv cannot be written"):
        write_rejects(tmp_path / "none" / "rejects.csv", [])
