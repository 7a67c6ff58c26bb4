"""Broken lines: each costs itself and is reported, and its neighbours are taken in."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sagaledger.infrastructure.shop.order_import import OrderFile, read_file, write_rejects
from sagaledger.infrastructure.shop.order_import.lines import LINE_BYTES_MAX

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
GOOD = "536365,85123A,LANTERN,6,2010-12-01 08:26:00,2.55,17850,United Kingdom"
BACK = "C536379,D,Discount,-1,2010-12-01 09:41:00,27.50,14527,United Kingdom"


@pytest.fixture
def read(tmp_path) -> Callable[..., OrderFile]:
    """Reads a file of these lines, below the right header."""

    def read_lines(*lines: str, end: str = "\n") -> OrderFile:
        path = tmp_path / "orders.csv"
        path.write_text("\n".join((HEADER, *lines)) + end, encoding="utf-8", newline="")
        return read_file(path)

    return read_lines


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (GOOD.replace(",6,", ",0,"), "Quantity 0 is not above zero outside a return"),
        (GOOD.replace(",6,", ",-6,"), "Quantity -6 is not above zero outside a return"),
        (GOOD.replace(",6,", ",six,"), "Quantity 'six' is not a whole number"),
        (GOOD.replace(",6,", ",6.0,"), "Quantity '6.0' is not a whole number"),
        (GOOD.replace(",6,", ",1_0,"), "Quantity '1_0' is not a whole number"),
        (GOOD.replace(",6,", ",,"), "Quantity '' is not a whole number"),
        (GOOD.replace(",6,", ",9999999999,"), "Quantity 9999999999 is beyond the 1,000,000,000 that one line may have"),
        (BACK.replace(",-1,", ",1,"), "Quantity 1 is above zero in a return"),
        (GOOD.replace("2.55", "-2.55"), "UnitPrice -2.55 is negative"),
        (GOOD.replace("2.55", "NaN"), "UnitPrice 'NaN' is not a decimal number"),
        (GOOD.replace("2.55", "£2"), "UnitPrice '£2' is not a decimal number"),
        (GOOD.replace("2.55", "9e99"), "UnitPrice 9e99 is beyond what one line may have"),
        (GOOD.replace("2.55", "9000000000"), "the line's amount is above the 10,000,000,000 that one line may have"),
        (GOOD.replace("2010-12-01", "2010-13-01"), "InvoiceDate '2010-13-01 08:26:00' is not a time"),
        (GOOD.replace("536365", " "), "InvoiceNo is empty"),
        (GOOD.replace("85123A", ""), "StockCode is empty"),
        (GOOD.replace("85123A", "A" * 101), "StockCode 'AAAAAAAAAAAAAAAAAAAA'… is not a name"),
        (GOOD.replace("LANTERN", "LAN\0TERN"), "Description holds a character that cannot be stored"),
        (GOOD.replace(",United Kingdom", ""), "7 columns instead of 8"),
        (GOOD + ",", "9 columns instead of 8"),
        (GOOD.replace("LANTERN", '"LANTERN'), "a quote is never closed"),
        (GOOD.replace("LANTERN", '"LAN"TERN'), "the line is not CSV"),
        (HEADER, "the header is repeated"),
        ("", "the line is empty"),
        (GOOD.replace("LANTERN", "L" * LINE_BYTES_MAX), "the line is longer than 65,536 bytes"),
    ],
)
def test_a_line_that_cannot_be_used_is_rejected(read, line, reason) -> None:
    """A bad line is reported with its number, its reason and what it says; its neighbours are taken in."""
    intake = read(GOOD, line, GOOD, BACK)
    (reject,) = intake.rejects
    assert reject.line == 3
    assert reject.reason.startswith(reason)
    assert reject.content == line[:1_000]
    assert (intake.lines_in, intake.lines_in_orders, intake.lines_in_returns) == (4, 2, 1)


@pytest.mark.parametrize(
    "line",
    [
        GOOD.replace("2.55", "0"),
        GOOD.replace("2.55", "0.0"),
        GOOD.replace("LANTERN", ""),
        GOOD.replace("17850", ""),
        GOOD.replace("85123A", "85123a"),
        GOOD.replace("2010-12-01 08:26:00", "12/1/2010 8:26"),
        GOOD.replace("2010-12-01 08:26:00", "2010-12-01T09:26:00+01:00"),
        GOOD.replace("LANTERN", '"LANTERN, ""RED"""'),
        GOOD.replace("LANTERN", 'LANTERN 5"'),
        GOOD + "\r",
        GOOD.replace("United Kingdom", "Österreich"),
        BACK.replace(",-1,", ",0,"),
    ],
)
def test_an_unusual_line_is_valid(read, line) -> None:
    """A total of zero, no description, a guest, another way to write a time, quotes: all are orders."""
    assert read(line).rejects == ()


def test_money_is_rounded_half_up_to_the_penny(read) -> None:
    """A price of three decimals gives whole pence, each line on its own, a half upwards: in returns too."""
    first = GOOD.replace(",6,", ",1,").replace("2.55", "0.125")
    second = GOOD.replace(",6,", ",1,").replace("2.55", "0.12499999999999999")
    intake = read(first, second, BACK.replace("27.50", "0.125"))
    assert [line.amount_minor for line in intake.orders[0].lines] == [13, 12]
    assert [line.amount_minor for line in intake.returns[0].lines] == [13]


def test_a_quoted_field_may_spread_over_lines(read) -> None:
    """A record has the number of its first physical line, and those after it keep theirs."""
    intake = read(GOOD.replace("LANTERN", '"LAN\nTERN"'), "broken", GOOD)
    assert [line.description for line in intake.orders[0].lines] == ["LAN\nTERN", "LANTERN"]
    assert [reject.line for reject in intake.rejects] == [4]
    assert intake.lines_in == 3


def test_a_quote_that_is_never_closed_costs_its_own_line_only(read) -> None:
    """The lines after an open quote are read on their own, even when one of them would close it."""
    stray = GOOD.replace("LANTERN", '"LANTERN')
    quoted = GOOD.replace("LANTERN", '"LANTERN, RED"')
    intake = read(stray, *[GOOD] * 20, stray, quoted, stray)
    assert [reject.line for reject in intake.rejects] == [2, 23, 25]
    assert intake.lines_in_orders == 21


def test_a_half_written_last_line_is_rejected(read) -> None:
    """A file cut off in the middle of a line loses that line, visibly; a missing last line ending loses nothing."""
    assert read(GOOD, GOOD, end="").lines_in_orders == 2
    (reject,) = read(GOOD, GOOD[:30], end="").rejects
    assert (reject.line, reject.content) == (3, GOOD[:30])


def test_an_order_of_rejected_lines_is_no_order(read) -> None:
    """An order exists by its valid lines, and is placed when the first of them says."""
    late = GOOD.replace("08:26", "09:00").replace("536365", "536366")
    intake = read(GOOD.replace(",6,", ",-6,"), late.replace("2.55", "-1").replace("09:00", "07:00"), late)
    (order,) = intake.orders
    assert (order.order_id, order.placed_at.hour) == ("536366", 9)


def test_invoices_come_in_date_order(read) -> None:
    """An earlier invoice goes first wherever it stands; those of one time go in the order of the file."""
    later = GOOD.replace("536365", "3").replace("08:26", "10:00")
    twin = GOOD.replace("536365", "1")
    intake = read(later, GOOD.replace("536365", "2"), twin, later.replace("10:00", "06:00"))
    assert [order.order_id for order in intake.orders] == ["2", "1", "3"]
    assert [len(order.lines) for order in intake.orders] == [1, 1, 2]


def test_an_invoice_larger_than_a_saga_s_input_is_cut_visibly(read) -> None:
    """What goes beyond the largest order is rejected line by line, and accounted for."""
    intake = read(*[GOOD.replace("LANTERN", "L" * 10_000)] * 30)
    assert (intake.lines_in_orders, intake.lines_rejected) == (24, 6)
    assert "invoice 536365 is full" in intake.rejects[0].reason


def test_columns_may_stand_in_another_order(tmp_path) -> None:
    """Columns are known by their names, with or without a byte order mark."""
    path = tmp_path / "orders.csv"
    compensating = "\n".join(",".join(reversed(line.split(","))) for line in (HEADER, GOOD))
    path.write_text(compensating, encoding="utf-8-sig")
    assert [line.amount_minor for line in read_file(path).orders[0].lines] == [1530]


def test_bytes_that_are_not_utf8_reject_their_line(tmp_path) -> None:
    """A Latin-1 line is rejected with the way to convert the file; it is never guessed at."""
    path = tmp_path / "orders.csv"
    path.write_bytes(f"{HEADER}\n{GOOD}\n{GOOD.replace('LANTERN', '£5')}\n".encode("latin-1"))
    (reject,) = read_file(path).rejects
    assert reject.line == 3
    assert "iconv -f ISO-8859-1" in reject.reason
    assert r"\xa35" in reject.content


def _object(**changes: object) -> str:
    return json.dumps(dict(zip(HEADER.split(","), GOOD.split(","), strict=True)) | changes)


def test_json_lines_have_the_same_meaning(tmp_path) -> None:
    """A number is the digits that stand in the file, so money stays exact; null and absent are empty."""
    path = tmp_path / "orders.jsonl.gz"
    guest = _object(Quantity=3, UnitPrice=0.335, CustomerID=None, Description=None)
    path.write_bytes(gzip.compress(f"{_object()}\n{guest}\n".encode()))
    (order,) = read_file(path).orders
    assert [(line.quantity, line.amount_minor, line.description) for line in order.lines] == [
        (6, 1530, "LANTERN"),
        (3, 101, ""),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (_object()[:-9], "the line is not JSON"),
        ("[" * 20_000, "the line is not JSON"),
        ("[1]", "the line is not a JSON object"),
        ("", "the line is empty"),
        (_object(Quantity=True), "Quantity is not a text or a number"),
        (_object(Quantity=None), "Quantity is missing"),
        (_object(Price=1), "field 'Price' is not one of InvoiceNo"),
        (_object(UnitPrice=float("nan")), "UnitPrice 'NaN' is not a decimal number"),
        (_object(Country="\ud800"), "Country holds a character that cannot be stored"),
    ],
)
def test_a_bad_json_line_is_rejected(tmp_path, line, reason) -> None:
    """A line that is no such object is reported, and the next one is read."""
    path = tmp_path / "orders.jsonl"
    path.write_text(f"{line}\n{_object()}\n", encoding="utf-8")
    intake = read_file(path)
    assert [reject.reason[: len(reason)] for reject in intake.rejects] == [reason]
    assert intake.lines_in_orders == 1


def test_a_header_alone_is_a_file_without_orders(read) -> None:
    """A file with no lines below its header is valid, and holds nothing."""
    assert read() == OrderFile("orders.csv", read().sha256, 0, (), ())


def test_the_report_holds_every_reject(read, tmp_path) -> None:
    """The report reads back as CSV, whatever the rejected lines hold."""
    intake = read(GOOD, '=1,"x', "", GOOD.replace("2.55", "-1"), "\uff1d1")
    write_rejects(tmp_path / "rejects.csv", intake.rejects)
    with (tmp_path / "rejects.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["line", "reason", "content"]
    assert [int(row[0]) for row in rows[1:]] == [3, 4, 5, 6]
    assert [row[2] for row in rows[1:]] == [
        "'=1,\"x",
        "",
        intake.rejects[2].content,
        "'\uff1d1",
    ]  # no cell is a formula


lines = st.one_of(
    st.just(GOOD),
    st.just(BACK),
    st.builds(lambda at: GOOD[:at], st.integers(0, len(GOOD))),
    st.builds(lambda at, what: GOOD[:at] + what + GOOD[at:], st.integers(0, len(GOOD)), st.sampled_from('",-\0é.C0')),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=40),
)


@example(lines=[f'"{GOOD}', GOOD.replace(",", '",', 1)], end="")  # one record of two lines, and rejected
@given(lines=st.lists(lines, max_size=12), end=st.sampled_from(["", "\n", "\r\n"]))
def test_no_line_of_any_file_disappears(tmp_path_factory, lines, end) -> None:
    """Whatever a file holds: lines in = lines in orders + lines in returns + lines rejected, and each line is in it."""
    path: Path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("\n".join((HEADER, *lines)) + end, encoding="utf-8", newline="")
    intake = read_file(path)
    assert intake.lines_in == intake.lines_in_orders + intake.lines_in_returns + intake.lines_rejected
    physical = path.read_bytes().count(b"\n") + (not path.read_bytes().endswith(b"\n")) - 1
    texts = [line.description for invoice in intake.invoices for line in invoice.lines]
    spread = sum(text.count("\n") for text in (*texts, *(reject.content for reject in intake.rejects)))
    assert intake.lines_in + spread == physical
    assert [reject.line for reject in intake.rejects] == sorted({reject.line for reject in intake.rejects})
