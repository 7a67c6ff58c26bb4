"""What spreadsheets and other programs make of a file of orders: never guessed at, and never merged."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagaledger.infrastructure.shop.order_import import OrderFile, OrderFileError, read_file

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
GOOD = "536365,85123A,LANTERN,6,2010-12-01 08:26:00,2.55,17850,United Kingdom"


def read(folder: Path, *lines: str, name: str = "orders.csv", separator: str = ",") -> OrderFile:
    """Read a file of these lines."""
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_file(folder / name, separator)


@pytest.mark.parametrize(
    "number",
    ["5.36E+05", "5,36E+05", ".536E+6", "5.36e5", "536E3", "5E+05", "536365.0", "536365.", "=536365", "'536365"],
)
@pytest.mark.parametrize("column", ["536365", "17850"])
def test_a_name_that_became_a_number_is_rejected(tmp_path: Path, number: str, column: str) -> None:
    """An invoice's number and a customer's: different ones may have become the same."""
    intake = read(tmp_path, HEADER, GOOD.replace(column, f'"{number}"'))
    assert (intake.invoices, intake.lines_rejected) == ((), 1)


@pytest.mark.parametrize(
    "text", ["NaN", "NA", "N/A", "#N/A N/A", "\\N", "(null)", "undefined", "1.#IND", "####", "#CALC!"]
)
def test_what_stands_for_a_missing_value_is_no_name(tmp_path: Path, text: str) -> None:
    """Or the orders of all customers without a number would be those of one; NA may be a country."""
    intake = read(tmp_path, HEADER, GOOD.replace("17850", text), GOOD.replace("United Kingdom", "NA"))
    assert [(reject.line, "missing value" in reject.reason) for reject in intake.rejects] == [(2, True)]


@pytest.mark.parametrize("code", ["79E1", "85123E", "15056P"])
def test_the_code_of_an_article_may_look_like_a_number(tmp_path: Path, code: str) -> None:
    """Only what a spreadsheet writes for sure is rejected as the code of an article."""
    assert read(tmp_path, HEADER, GOOD.replace("85123A", code)).rejects == ()


@pytest.mark.parametrize("odd", ["\u202e", "\u200b", "\x85", "\ufeff", "\u2028", "\ue000"])
@pytest.mark.parametrize("column", ["536365", "85123A", "17850"])
def test_a_name_with_an_odd_character_is_rejected(tmp_path: Path, odd: str, column: str) -> None:
    """No saga could be started with it; the next line is taken in."""
    intake = read(tmp_path, HEADER, GOOD.replace(column, f"{column[:3]}{odd}{column[3:]}"), GOOD)
    assert (intake.lines_in_orders, intake.lines_rejected) == (1, 1)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (GOOD.replace("17850", "13047"), "another customer"),
        (GOOD.replace("United Kingdom", "France"), "another country"),
        (GOOD.replace("12-01", "12-05"), "another day"),
    ],
)
def test_a_line_that_contradicts_its_invoice_is_rejected(tmp_path: Path, line: str, what: str) -> None:
    """The orders of two customers never become one; the minute may differ, and later lines may be less explicit."""
    intake = read(tmp_path, HEADER, GOOD, line, GOOD.replace("08:26", "08:27"), GOOD.replace("17850", ""))
    (reject,) = intake.rejects
    assert (reject.line, what in reject.reason, intake.lines_in_orders) == (3, True, 3)


@pytest.mark.parametrize(
    ("dates", "days"),
    [
        (("2/1/2011 8:26", "13/1/2011 8:26"), ["2011-01-02", "2011-01-13"]),
        (("1/2/2011 8:26", "1/13/2011 8:26:30"), ["2011-01-02", "2011-01-13"]),
        (("1/2/2011 8:26", "3/4/2011 8:26"), ["2011-01-02", "2011-03-04"]),
        (("1/2/2011 8:26", "1/13/2011 8:26", "13/1/2011 8:26"), ["2011-01-13", "2011-01-13"]),
    ],
)
def test_the_dates_of_a_file_are_read_in_one_order(tmp_path: Path, dates: tuple[str, ...], days: list[str]) -> None:
    """A day above 12 shows the order for the whole file; where two contradict each other, unclear ones are rejected."""
    lines = [GOOD.replace("2010-12-01 08:26:00", date).replace("536365", str(n)) for n, date in enumerate(dates)]
    intake = read(tmp_path, HEADER, *lines)
    assert sorted(order.placed_at.date().isoformat() for order in intake.orders) == days
    assert intake.lines_rejected == len(dates) - len(days)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("hint", ["", "sep={}\n", '"sep={}"\n'])
@pytest.mark.parametrize("quote", ["", '"'])
def test_another_separator_is_named_and_can_be_given(tmp_path: Path, separator: str, hint: str, quote: str) -> None:
    """The file is not read with a separator that nobody gave; with a semicolon, prices have a decimal comma."""
    price = "2,55" if separator == ";" else "2.55"
    lines = (
        f"{hint.format(separator)}{quote}{HEADER.replace(',', f'{quote}{separator}{quote}')}{quote}",
        GOOD.replace(",", separator).replace("2.55", price),
    )
    with pytest.raises(OrderFileError, match=r"are separated by .*--separator"):
        read(tmp_path, *lines)

    (order,) = read(tmp_path, *lines, separator=separator).orders
    assert [line.amount_minor for line in order.lines] == [1530]


@pytest.mark.parametrize("price", ["1.234", "1,234", "12.345.678"])
def test_a_price_with_a_thousands_separator_is_rejected(tmp_path: Path, price: str) -> None:
    """Where the decimal sign may be a comma, 1.234 and 1,234 may be more than a thousand; 0,125 is not."""
    header, line = HEADER.replace(",", ";"), GOOD.replace(",", ";")
    intake = read(tmp_path, header, line.replace("2.55", price), line.replace("2.55", "0,125"), separator=";")
    assert [(reject.line, "thousands" in reject.reason) for reject in intake.rejects] == [(2, True)]


def test_the_columns_of_the_second_edition_are_named_with_their_new_names(tmp_path: Path) -> None:
    """The remedy says which column to rename, and how."""
    header = HEADER.replace("InvoiceNo", "Invoice").replace("UnitPrice", "Price").replace("CustomerID", "Customer ID")
    with pytest.raises(OrderFileError, match="rename 'Invoice' to InvoiceNo, 'Price' to UnitPrice, 'Customer ID' to C"):
        read(tmp_path, header)


def test_a_json_field_that_is_given_twice_is_rejected(tmp_path: Path) -> None:
    """Which of the two counts is not guessed."""
    twice = '{"InvoiceNo":"1","InvoiceNo":"2","StockCode":"A","Quantity":1,"InvoiceDate":"2010-12-01","UnitPrice":1}'
    (reject,) = read(tmp_path, twice, name="orders.jsonl").rejects
    assert reject.reason == "field 'InvoiceNo' is given twice"
