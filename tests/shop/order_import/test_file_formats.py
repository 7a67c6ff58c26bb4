"""One table of orders, written in every way that a file may write it, gives the same orders."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagaledger.infrastructure.shop.order_import import (
    SEPARATORS,
    DateNotation,
    DecimalMark,
    FileFormat,
    OrderFile,
    OrderFileError,
    column_map,
    read_file,
)
from sagaledger.infrastructure.shop.order_import.columns import COLUMNS

HEADER = ",".join(COLUMNS)
ROW = "536365,85123A,LANTERN,6,{date},2.55,17850,United Kingdom"

Line = tuple[str, str, str, int, datetime, int, str, str]
DATE_FORMATS = {"dmy": "%d/%m/%Y %H:%M", "mdy": "%m.%d.%Y %I:%M %p", "ymd": "%Y-%m-%dT%H:%M:00"}


def read(folder: Path, *lines: str, format_: FileFormat = FileFormat(), name: str = "orders.csv") -> OrderFile:  # noqa: B008
    """Read a file of these lines."""
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_file(folder / name, format_)


texts = st.text(st.sampled_from("AB z,;|'\"é"), max_size=8).map(lambda text: f"x{text}x")
lines_of_a_file = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "C3"]),
        st.sampled_from(["A", "B"]),
        texts,
        st.integers(1, 9),
        st.datetimes(datetime(2010, 1, 1), datetime(2011, 12, 31)).map(lambda t: t.replace(second=0, microsecond=0)),  # noqa: DTZ001
        st.integers(0, 500_000),
        st.sampled_from(["", "17850", "13047"]),
        st.sampled_from(["", "United Kingdom"]),
    ),
    min_size=1,
    max_size=8,
)


def written(lines: list[Line], *, dates: DateNotation, decimal: DecimalMark) -> list[dict[str, str]]:
    """Write each line as texts."""
    return [
        dict(
            zip(
                COLUMNS,
                (
                    invoice,
                    sku,
                    description,
                    str(-quantity if invoice.startswith("C") else quantity),
                    at.strftime(DATE_FORMATS[dates]),
                    f"{pence // 100}{'.' if decimal == 'point' else ','}{pence % 100:02}",
                    customer,
                    country,
                ),
                strict=True,
            )
        )
        for invoice, sku, description, quantity, at, pence, customer, country in lines
    ]


@settings(max_examples=40, deadline=None)
@given(
    lines=lines_of_a_file,
    order=st.permutations(COLUMNS),
    separator=st.sampled_from(sorted(SEPARATORS)),
    dates=st.sampled_from(["dmy", "mdy", "ymd"]),
    decimal=st.sampled_from(["point", "comma"]),
    renamed=st.booleans(),
    told=st.booleans(),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_every_way_to_write_a_file_gives_the_same_orders(
    lines: list[Line],
    order: list[str],
    separator: str,
    dates: DateNotation,
    decimal: DecimalMark,
    renamed: bool,
    told: bool,
    quoting: int,
) -> None:
    """Columns in any order and under other names, any separator, date order, decimal mark and quoting."""
    names = {column: f"their {column}" if renamed else column for column in COLUMNS}
    mapping = ",".join(f"{ours}={theirs}" for ours, theirs in names.items()) if renamed else None
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.jsonl"
        rows = written(lines, dates="ymd", decimal="point")
        plain.write_text("\n".join(map(json.dumps, rows)))
        expected = read_file(plain)

        other = Path(folder) / "other.csv"
        text = io.StringIO()
        writer = csv.writer(text, delimiter=SEPARATORS[separator], quoting=quoting)
        writer.writerow([names[column] for column in order])
        for row in written(lines, dates=dates, decimal=decimal):
            writer.writerow([row[column] for column in order])
        other.write_text(text.getvalue(), encoding="utf-8")
        given_separator = SEPARATORS[separator] if told else None
        needed = decimal if separator == "comma" or told else None
        found = read_file(other, FileFormat(given_separator, column_map(mapping), dates, needed))

    assert found.invoices == expected.invoices
    assert [each.lines for each in found.contradicted] == [
        tuple(number + 1 for number in each.lines) for each in expected.contradicted
    ]
    assert found.lines_in == found.lines_in_orders + found.lines_in_returns + found.lines_rejected == len(lines)


@settings(max_examples=40, deadline=None)
@given(
    days=st.lists(st.datetimes(datetime(2010, 1, 1), datetime(2011, 12, 31)), min_size=1, max_size=6),  # noqa: DTZ001
    dates=st.sampled_from(["dmy", "mdy"]),
)
def test_a_date_is_never_read_in_another_order(days: list[datetime], dates: DateNotation) -> None:
    """Without `--dates`: the day that was meant, or the whole file is refused with the reason."""
    with tempfile.TemporaryDirectory() as folder:
        texts = [day.strftime(DATE_FORMATS[dates]) for day in days]
        lines = [ROW.format(date=text).replace("536365", str(n)) for n, text in enumerate(texts)]
        columns = column_map("InvoiceNo=InvoiceNo")
        if not any(day.day > 12 for day in days):
            with pytest.raises(OrderFileError, match=r"line 2: .*--dates dmy or --dates mdy"):
                read(Path(folder), HEADER, *lines, format_=FileFormat(columns=columns))
            return
        intake = read(Path(folder), HEADER, *lines, format_=FileFormat(columns=columns))
    assert {order.order_id: order.placed_at.date() for order in intake.orders} == {
        str(n): day.date() for n, day in enumerate(days)
    }


def test_the_original_columns_have_the_original_order_and_say_so(tmp_path: Path) -> None:
    """UCI Online Retail has the month first; a file with its header that does not show another order is read so."""
    intake = read(tmp_path, HEADER, ROW.format(date="1/2/2010 8:26"))
    assert intake.orders[0].placed_at.date().isoformat() == "2010-01-02"
    (note,) = intake.notes
    assert "read with the month first" in note
    assert "'1/2/2010 8:26'" in note

    for text in ("1.2.2010 8:26", "01-02-2010"):
        with pytest.raises(OrderFileError, match="--dates dmy or --dates mdy"):
            read(tmp_path, HEADER, ROW.format(date=text))


@pytest.mark.parametrize(
    ("dates", "text", "day"),
    [
        ("dmy", "01/02/10 8:26", "2010-02-01"),
        ("ymd", "10/02/01", "2010-02-01"),
        ("mdy", "2010/2/1 8:26 PM", "2010-02-01"),
        ("dmy", "12/13/2010 8:26", None),
        ("ymd", "1/2/2010", None),
        (None, "1/2/10 8:26", None),
        ("dmy", "1/2/2010 13:00 PM", None),
    ],
)
def test_an_order_that_is_given_counts(tmp_path: Path, dates: DateNotation | None, text: str, day: str | None) -> None:
    """A year of two digits needs one; a date that does not fit is rejected, and never read in another order."""
    intake = read(tmp_path, HEADER, ROW.format(date=text), format_=FileFormat(dates=dates))
    assert [order.placed_at.date().isoformat() for order in intake.orders] == ([] if day is None else [day])
    assert intake.lines_rejected == (day is None)


def test_the_second_edition_has_a_preset(tmp_path: Path) -> None:
    """Its names are mapped, its customers lose their decimal, and the remedy of its header is the preset."""
    lines = (
        "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country",
        "489434,85048,BALL,12,2009-12-01 07:45:00,6.95,13085.0,UK",
    )
    with pytest.raises(OrderFileError, match="run it with --columns online-retail-ii"):
        read(tmp_path, *lines)
    (order,) = read(tmp_path, *lines, format_=FileFormat(columns=column_map("online-retail-ii"))).orders
    assert (order.order_id, order.customer_id, order.total_minor) == ("489434", "13085", 8340)


def test_columns_may_be_absent_or_not_needed(tmp_path: Path) -> None:
    """`Country=` says that a file has none; columns that no order needs are ignored once the columns are given."""
    columns = column_map('"InvoiceNo=Order, no",Country=,CustomerID=,Description=')
    header = 'StockCode,"Order, no",Quantity,Discount,UnitPrice,InvoiceDate'
    (order,) = read(tmp_path, header, "A,7,2,50 %,1.50,2010-12-01", format_=FileFormat(columns=columns)).orders
    assert (order.order_id, order.customer_id, order.country, order.total_minor) == ("7", None, "", 300)

    with pytest.raises(OrderFileError, match="the header lacks Order, no, Quantity"):
        read(tmp_path, "StockCode,UnitPrice,InvoiceDate", format_=FileFormat(columns=columns))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it is empty"),
        ("retail", "'retail' is no column"),
        ("Invoice=InvoiceNo", "'Invoice=InvoiceNo' is no column"),
        ("InvoiceNo=A,InvoiceNo=B", "names InvoiceNo twice"),
        ("InvoiceNo=", "an order needs InvoiceNo"),
        ("InvoiceNo=StockCode", "'StockCode' stands for two columns"),
    ],
)
def test_a_wrong_mapping_is_one_clear_error(text: str, says: str) -> None:
    """An option that cannot be used names its part and the remedy."""
    with pytest.raises(OrderFileError, match=says):
        column_map(text)
