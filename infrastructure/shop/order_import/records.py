"""Lines as records of eight named texts, from CSV or from JSON Lines.

Counts and reports call a record a line. Its number is that of its first physical line.
"""

from __future__ import annotations

import csv
import json
import re
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
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""What may separate the fields of a CSV file, by the name of the option."""
OPTIONAL = ("Description", "CustomerID", "Country")
"""The fields that a JSON object may omit, or have as null."""
OTHER_NAMES = {"invoice": "InvoiceNo", "price": "UnitPrice"}
"""What other editions of the data set call a column, in lower case without spaces."""
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[,;|\s]*', re.IGNORECASE)
"""A line by which a spreadsheet tells itself the separator of the lines below."""
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


def csv_records(lines: Iterator[FileLine], path: Path, separator: str = ",") -> Iterator[Record]:
    """Yield the records of a CSV file with a header line.

    A quote that is never closed spoils its own line only: the lines after it are read again by themselves.
    Raises `OrderFileError` if the header is not the expected one.
    """
    columns = _header(lines, path, separator)
    ahead: deque[FileLine] = deque()
    while line := ahead.popleft() if ahead else next(lines, None):
        if line.problem is not None:
            yield Record(line.number, line.text, None, line.problem)
            continue
        try:
            yield Record(line.number, line.text, _named(_split(line.text, separator=separator), columns))
        except _UnclosedQuote as unclosed:
            yield _spread(line, ahead, lines, columns, separator) or Record(line.number, line.text, None, str(unclosed))
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


def _header(lines: Iterator[FileLine], path: Path, separator: str) -> list[str]:
    """Return the columns of a file, whose header may stand below a line that names the separator."""
    line = next(lines)
    if match := _SEPARATOR_LINE.fullmatch(line.text if line.problem is None else ""):
        if match[1] != separator:
            raise OrderFileError(f"{path}, line 1: {_other_separator(match[1], separator)}")
        line = next(lines, FileLine(line.number + 1, ""))
    place = f"{path}, line {line.number}"
    if line.problem is not None:
        raise OrderFileError(f"{place}: {line.problem}")
    if separator not in line.text:
        for other in SEPARATORS.values():
            if line.text.count(other) >= len(COLUMNS) - 1:
                raise OrderFileError(f"{place}: {_other_separator(other, separator)}")
    try:
        columns = [column.strip() for column in _split(line.text, separator=separator)]
    except LineRejected as rejected:
        raise OrderFileError(f"{place}: the header cannot be read: {rejected}") from rejected
    if sorted(columns) == sorted(COLUMNS):
        return columns
    raise OrderFileError(f"{place}: {_wrong_columns(columns)}: it must name exactly {','.join(COLUMNS)}")


def _other_separator(found: str, expected: str) -> str:
    option = next((name for name, separator in SEPARATORS.items() if separator == found), None)
    remedy = f"run it with --separator {option}" if option else f"write it with one of {', '.join(SEPARATORS)}"
    return f"the fields are separated by {found!r}, not by {expected!r}: {remedy}"


def _wrong_columns(columns: list[str]) -> str:
    wrong = {
        "lacks": [column for column in COLUMNS if column not in columns],
        "does not know": [repr(column) for column in columns if column not in COLUMNS],
        "repeats": sorted({column for column in columns if columns.count(column) > 1}),
    }
    found = "; ".join(f"{verb} {', '.join(names)}"[:200] for verb, names in wrong.items() if names)
    known = {column.lower(): column for column in COLUMNS} | OTHER_NAMES
    renamed = [
        f"{column!r} to {meant}"
        for column in columns
        if (meant := known.get(re.sub(r"[\s_.-]", "", column.lower()))) is not None and meant not in columns
    ]
    return f"the header {found}" + (f"; rename {', '.join(renamed)}" if renamed else "")


def _split(*lines: str, separator: str) -> list[str]:
    """Return the fields of one CSV record. Raises `LineRejected`, and `_UnclosedQuote` if it may continue."""
    if len(lines) == 1 and '"' not in lines[0]:
        return lines[0].split(separator)
    source = [f"{line}\n" for line in lines[:-1]] + [lines[-1]]
    try:
        rows = list(csv.reader(source, strict=True, delimiter=separator))
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


def _spread(
    first: FileLine, ahead: deque[FileLine], lines: Iterator[FileLine], columns: list[str], separator: str
) -> Record | None:
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
            fields = _named(_split(*texts, separator=separator), columns)
        except _UnclosedQuote:
            continue
        except LineRejected:
            return None
        for _ in taken[1:]:
            ahead.popleft()
        return Record(first.number, "\n".join(texts), fields)
    return None


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the fields of a JSON object. Raises `LineRejected` for a name that is given twice: which one counts?"""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise LineRejected(f"field {twice[:100]!r} is given twice")
    return fields


def _object(text: str) -> dict[str, str]:
    """Return the fields of a JSON object as texts; a number keeps its digits as they are in the file."""
    if not text.strip():
        raise LineRejected("the line is empty")
    try:
        given = json.loads(text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_distinct)
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
