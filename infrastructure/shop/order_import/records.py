"""Lines as records of eight named texts, from CSV or from JSON Lines.

Counts and reports call a record a line. Its number is that of its first physical line.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .columns import COLUMNS, OPTIONAL, ColumnMap
from .errors import LineRejected
from .header import Header, UnclosedQuote, split
from .lines import FileLine

_WITH_DECIMAL = re.compile(r"([1-9][0-9]*)\.0")
RECORD_LINES_MAX = 8
"""How many physical lines a quoted CSV field may spread a record over."""


class Record(NamedTuple):
    """One line of an invoice: its fields by column, or the problem because of which it has none."""

    line: int
    content: str
    fields: dict[str, str] | None
    problem: str | None = None


class _FieldReader:
    """Names the fields of one CSV record."""

    def __init__(self, header: Header, columns: ColumnMap) -> None:
        self._columns = header.columns
        self._header = header.texts
        self._absent = dict.fromkeys((ours for ours, theirs in columns.names.items() if not theirs), "")
        self._is_exact = None not in header.columns and not self._absent
        self._separator = header.separator
        self._decimal_customers = columns.decimal_customers

    def fields(self, *lines: str) -> dict[str, str]:
        """Return the fields of one record. Raises `LineRejected`, and `UnclosedQuote` if it may continue."""
        values = split(*lines, separator=self._separator)
        if values == self._header:
            raise LineRejected("the header is repeated")
        if values in ([""], []):
            raise LineRejected("the line is empty")
        if len(values) != len(self._columns):
            raise LineRejected(f"{len(values)} columns instead of {len(self._columns)}")
        named: dict[Any, str] = dict(zip(self._columns, values, strict=True))
        if not self._is_exact:
            named.pop(None, None)
            named |= self._absent
        return _as_meant(named, decimal_customers=self._decimal_customers)


def csv_records(lines: Iterator[FileLine], header: Header, columns: ColumnMap) -> Iterator[Record]:
    """Yield the records of a CSV file that stand below its header.

    A quote that is never closed spoils its own line only: the lines after it are read again by themselves.
    """
    reader = _FieldReader(header, columns)
    ahead: deque[FileLine] = deque()
    while line := ahead.popleft() if ahead else next(lines, None):
        if line.problem is not None:
            yield Record(line.number, line.text, None, line.problem)
            continue
        try:
            yield Record(line.number, line.text, reader.fields(line.text))
        except UnclosedQuote as unclosed:
            yield _spread(line, ahead, lines, reader) or Record(line.number, line.text, None, str(unclosed))
        except LineRejected as rejected:
            yield Record(line.number, line.text, None, str(rejected))


def jsonl_records(lines: Iterable[FileLine], columns: ColumnMap) -> Iterator[Record]:
    """Yield the records of a file with one JSON object on each line, whose names are those of the CSV columns."""
    for line in lines:
        if line.problem is not None:
            yield Record(line.number, line.text, None, line.problem)
            continue
        try:
            yield Record(line.number, line.text, _object(line.text, columns))
        except LineRejected as rejected:
            yield Record(line.number, line.text, None, str(rejected))


def _as_meant(fields: dict[str, str], *, decimal_customers: bool) -> dict[str, str]:
    if decimal_customers and (match := _WITH_DECIMAL.fullmatch(fields["CustomerID"].strip())):
        fields["CustomerID"] = match[1]
    return fields


def _spread(first: FileLine, ahead: deque[FileLine], lines: Iterator[FileLine], reader: _FieldReader) -> Record | None:
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
            fields = reader.fields(*texts)
        except UnclosedQuote:
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


def _object(text: str, columns: ColumnMap) -> dict[str, str]:
    """Return the fields of a JSON object as texts; a number keeps its digits as they are in the file."""
    if not text.strip():
        raise LineRejected("the line is empty")
    try:
        given = json.loads(text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise LineRejected(f"the line is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise LineRejected("the line is not a JSON object")
    names = columns.names
    unknown = [] if columns.ignores_others else [name for name in given if name not in names.values()]
    if unknown:
        raise LineRejected(f"field {unknown[0][:100]!r} is not one of {', '.join(filter(None, names.values()))}")
    fields: dict[str, str] = {}
    for column in COLUMNS:
        value = given.get(names[column]) if names[column] else None
        if value is None and column in OPTIONAL:
            value = ""
        if not isinstance(value, str):
            problem = "is missing" if value is None else "is not a text or a number"
            raise LineRejected(f"{names[column]} {problem}")
        fields[column] = value
    return _as_meant(fields, decimal_customers=columns.decimal_customers)
