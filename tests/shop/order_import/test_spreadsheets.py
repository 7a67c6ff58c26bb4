"""What spreadsheets and other programs make of a file of orders: never guessed at, and never merged."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagaledger.infrastructure.shop.order_import import DecimalMark, FileFormat, OrderFile, OrderFileError, read_file

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
GOOD = "536365,85123A,LANTERN,6,2010-12-01 08:26:00,2.55,17850,United Kingdom"


def read(folder: Path, *lines: str, name: str = "orders.csv", separator: str | None = None) -> OrderFile:
    """Read a file of these lines."""
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_file(folder / name, FileFormat(separator))


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
def test_an_invoice_whose_lines_contradict_each_other_is_left_out(tmp_path: Path, line: str, what: str) -> None:
    """The orders of two customers never become one, whichever line stands first; another invoice goes on."""
    other = GOOD.replace("536365", "536366")
    for lines in ((GOOD, line, GOOD.replace("17850", ""), other), (line, GOOD.replace("17850", ""), other, GOOD)):
        intake = read(tmp_path, HEADER, *lines)
        (contradicted,) = intake.contradicted
        assert [order.order_id for order in intake.orders] == ["536366"]
        assert (contradicted.invoice, what in contradicted.reason) == ("536365", True)
        assert contradicted.lines == tuple(2 + lines.index(each) for each in lines if each is not other)
        assert [(each.line, each.content) for each in intake.rejects] == [
            (number, lines[number - 2]) for number in contradicted.lines
        ]
        assert intake.lines_in == intake.lines_in_orders + intake.lines_rejected


def test_lines_of_one_invoice_may_be_less_explicit(tmp_path: Path) -> None:
    """The minute may differ, and a line may omit the customer or the country that another line says."""
    bare = GOOD.replace("17850", "").replace("United Kingdom", "")
    intake = read(tmp_path, HEADER, bare, GOOD.replace("08:26", "08:27"), bare)
    (order,) = intake.orders
    assert (order.customer_id, order.country, intake.lines_rejected) == ("17850", "United Kingdom", 0)


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
def test_the_separator_is_found_or_given(tmp_path: Path, separator: str, hint: str, quote: str) -> None:
    """The header shows it; one that is given counts; where no comma separates, prices may have a decimal comma."""
    lines = (
        f"{hint.format(separator)}{quote}{HEADER.replace(',', f'{quote}{separator}{quote}')}{quote}",
        GOOD.replace(",", separator).replace("2.55", "2,55"),
    )
    for given in (None, separator):
        (order,) = read(tmp_path, *lines, separator=given).orders
        assert [line.amount_minor for line in order.lines] == [1530]
    with pytest.raises(OrderFileError, match=r"are separated by .*--separator"):
        read(tmp_path, *lines, separator=",")
    with pytest.raises(OrderFileError, match="no line below it confirms that: add lines, or run it with --separator"):
        read(tmp_path, lines[0])


@pytest.mark.parametrize("price", ["1.234", "1,234", "12.345.678"])
def test_a_price_with_a_thousands_separator_is_rejected(tmp_path: Path, price: str) -> None:
    """Where the decimal sign may be a comma, 1.234 and 1,234 may be more than a thousand; 0,125 is not."""
    header, line = HEADER.replace(",", ";"), GOOD.replace(",", ";")
    intake = read(tmp_path, header, line.replace("2.55", price), line.replace("2.55", "0,125"), separator=";")
    assert [(reject.line, "thousands" in reject.reason) for reject in intake.rejects] == [(2, True)]


@pytest.mark.parametrize(
    ("decimal", "price", "amount"),
    [
        ("comma", "1.234,5", 123_450 * 6),
        ("comma", "1,234", 740),
        ("comma", "12.345.678", 1_234_567_800 * 6),
        ("point", "1,234.5", 123_450 * 6),
        ("point", "1.234", 740),
        ("point", "1,23", None),
        ("comma", "1.23", None),
    ],
)
def test_a_decimal_mark_that_is_given_tells_thousands_from_pence(
    tmp_path: Path, decimal: DecimalMark, price: str, amount: int | None
) -> None:
    """With `--decimal` no price is ambiguous; one that is written otherwise is rejected."""
    (tmp_path / "orders.csv").write_text(f"{HEADER}\n{GOOD}".replace(",", "\t").replace("2.55", price))
    intake = read_file(tmp_path / "orders.csv", FileFormat(decimal=decimal))
    assert [order.total_minor for order in intake.orders] == ([] if amount is None else [amount])


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
