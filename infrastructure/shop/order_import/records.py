"""Lines as records of eight named texts, from CSV or from JSON Lines.

Counts and reports call a record a line. Its number is that of its first physical line.
"""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .errors import LineRejected, OrderFileError
from .lines import FileLine

COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
"""The columns of the UCI data set "Online Retail"."""
OPTIONAL = ("Description", "CustomerID", "Country")
"""The fields that a JSON object may omit, or have as null."""
RECORD_LINES_MAX = 8
"""How many physical lines a quoted CSV field may spread a record over."""


class Record(NamedTuple):
    """One line of an invoice: its fields by column, or the problem because of which it has none."""

    line: int
    content: str
    fields: dict[str, str] | None
    problem: str | None = None


class _UnclosedQuote(LineRejected):
    """The record may continue on the next physical line."""


def csv_records(lines: Iterator[FileLine], path: Path) -> Iterator[Record]:
    """Yield the records of a CSV file with a header line.

    A quote that is never closed spoils its own line only: the lines after it are read again by themselves.
    Raises `OrderFileError` if the header is not the expected one.
    """
    columns = _header(next(lines), path)
    ahead: deque[FileLine] = deque()
    while line := ahead.popleft() if ahead else next(lines, None):
        if line.problem is not None:
            yield Record(line.number, line.text, None, line.problem)
            continue
        try:
            yield Record(line.number, line.text, _named(_split(line.text), columns))
        except _UnclosedQuote as unclosed:
            yield _spread(line, ahead, lines, columns) or Record(line.number, line.text, None, str(unclosed))
        except LineRejected as rejected:
            yield Record(line.number, line.text, None, str(rejected))


def jsonl_records(lines: Iterator[FileLine]) -> Iterator[Record]:
    """Yield the records of a file with one JSON object on each line, whose names are those of the CSV columns."""
    for line in lines:
        if line.problem is not None:
            yield Record(line.number, line.text, None, line.problem)
            continue
        try:
            yield Record(line.number, line.text, _object(line.text))
        except LineRejected as rejected:
            yield Record(line.number, line.text, None, str(rejected))


def _header(line: FileLine, path: Path) -> list[str]:
    place = f"{path}, line 1"
    if line.problem is not None:
        raise OrderFileError(f"{place}: {line.problem}")
    try:
        columns = [column.strip() for column in _split(line.text)]
    except LineRejected as rejected:
        raise OrderFileError(f"{place}: the header cannot be read: {rejected}") from rejected
    if sorted(columns) == sorted(COLUMNS):
        return columns
    wrong = {
        "lacks": [column for column in COLUMNS if column not in columns],
        "does not know": [repr(column) for column in columns if column not in COLUMNS],
        "repeats": sorted({column for column in columns if columns.count(column) > 1}),
    }
    found = "; ".join(f"{verb} {', '.join(names)}"[:200] for verb, names in wrong.items() if names)
    raise OrderFileError(f"{place}: the header {found}: it must name exactly {','.join(COLUMNS)}")


def _split(*lines: str) -> list[str]:
    """Return the fields of one CSV record. Raises `LineRejected`, and `_UnclosedQuote` if it may continue."""
    if len(lines) == 1 and '"' not in lines[0]:
        return lines[0].split(",")
    source = [f"{line}\n" for line in lines[:-1]] + [lines[-1]]
    try:
        rows = list(csv.reader(source, strict=True))
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            raise _UnclosedQuote("a quote is never closed") from error
        raise LineRejected(f"the line is not CSV: {error}") from error
    return rows[0] if len(rows) == 1 else []


def _named(values: list[str], columns: list[str]) -> dict[str, str]:
    if values == columns:
        raise LineRejected("the header is repeated")
    if values in ([""], []):
        raise LineRejected("the line is empty")
    if len(values) != len(columns):
        raise LineRejected(f"{len(values)} columns instead of {len(columns)}")
    return dict(zip(columns, values, strict=True))


def _spread(first: FileLine, ahead: deque[FileLine], lines: Iterator[FileLine], columns: list[str]) -> Record | None:
    """Return the record that begins in one line and ends in a later one. Without one, the lines stay ahead."""
    taken = [first]
    while len(taken) < RECORD_LINES_MAX:
        while len(ahead) < len(taken):
            line = next(lines, None)
            if line is None:
                return None
            ahead.append(line)
        line = ahead[len(taken) - 1]
        if line.problem is not None:
            return None
        taken.append(line)
        texts = [line.text for line in taken]
        try:
            fields = _named(_split(*texts), columns)
        except _UnclosedQuote:
            continue
        except LineRejected:
            return None
        for _ in taken[1:]:
            ahead.popleft()
        return Record(first.number, "\n".join(texts), fields)
    return None


def _object(text: str) -> dict[str, str]:
    """Return the fields of a JSON object as texts; a number keeps its digits as they are in the file."""
    if not text.strip():
        raise LineRejected("the line is empty")
    try:
        given = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise LineRejected(f"the line is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise LineRejected("the line is not a JSON object")
    unknown = [name for name in given if name not in COLUMNS]
    if unknown:
        raise LineRejected(f"field {unknown[0][:100]!r} is not one of {', '.join(COLUMNS)}")
    fields: dict[str, str] = {}
    for column in COLUMNS:
        value = given.get(column)
        if value is None and column in OPTIONAL:
            value = ""
        if not isinstance(value, str):
            raise LineRejected(f"{column} is missing" if value is None else f"{column} is not a text or a number")
        fields[column] = value
    return fields
