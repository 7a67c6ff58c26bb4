"""The header of a CSV file: what separates its fields, and which of them an order needs."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .errors import LineRejected, OrderFileError
from .file_format import SEPARATORS, FileFormat
from .lines import FileLine

_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[,;|\s]*', re.IGNORECASE)
"""A line by which a spreadsheet tells itself the separator of the lines below."""


class UnclosedQuote(LineRejected):
    """The record may continue on the next physical line."""


class Header(NamedTuple):
    """How the records below a header are read."""

    separator: str
    columns: list[str | None]
    """Our name for each field; None for one that no order needs."""
    texts: list[str]
    """The header's own fields."""


def read_header(lines: Iterator[FileLine], path: Path, format_: FileFormat) -> Header:
    """Read a file's header, which may stand below a line that names the separator.

    A separator that is not given is the one by which the header has every column that is wanted. Raises
    `OrderFileError` if there is none.
    """
    line = next(lines)
    named = None
    if match := _SEPARATOR_LINE.fullmatch(line.text if line.problem is None else ""):
        named = match[1]
        if named != (format_.separator or named) or named not in SEPARATORS.values():
            raise OrderFileError(f"{path}, line 1: {_other_separator(named, format_.separator or ',')}")
        line = next(lines, FileLine(line.number + 1, ""))
    place = f"{path}, line {line.number}"
    if line.problem is not None:
        raise OrderFileError(f"{place}: {line.problem}")
    given = format_.separator or named
    for separator in SEPARATORS.values() if given is None else (given,):
        header = _fitting(line.text, separator, format_)
        if header is not None:
            return header
    raise OrderFileError(f"{place}: {_why_unfit(line.text, given, format_)}")


def split(*lines: str, separator: str) -> list[str]:
    """Return the fields of one CSV record. Raises `LineRejected`, and `UnclosedQuote` if it may continue."""
    if len(lines) == 1 and '"' not in lines[0]:
        return lines[0].split(separator)
    source = [f"{line}\n" for line in lines[:-1]] + [lines[-1]]
    try:
        rows = list(csv.reader(source, strict=True, delimiter=separator))
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            raise UnclosedQuote("a quote is never closed") from error
        raise LineRejected(f"the line is not CSV: {error}") from error
    return rows[0] if len(rows) == 1 else []


def option_of(separator: str) -> str:
    """Return the option by which a separator is given."""
    return f"--separator {next(name for name, each in SEPARATORS.items() if each == separator)}"


def _fitting(text: str, separator: str, format_: FileFormat) -> Header | None:
    try:
        texts = [name.strip() for name in split(text, separator=separator)]
    except LineRejected:
        return None
    columns = format_.columns.of_header(texts)
    return None if columns is None else Header(separator, columns, texts)


def _why_unfit(text: str, given: str | None, format_: FileFormat) -> str:
    """Return what is wrong with a header that fits with no separator."""
    if given is not None:
        other = next((each for each in SEPARATORS.values() if _fitting(text, each, format_) is not None), None)
        if other is not None:
            return _other_separator(other, given)
    separator = given or max(SEPARATORS.values(), key=text.count)
    try:
        texts = [name.strip() for name in split(text, separator=separator)]
    except LineRejected as rejected:
        return f"the header cannot be read: {rejected}"
    return format_.columns.wrong_header(texts)


def _other_separator(found: str, expected: str) -> str:
    known = found in SEPARATORS.values()
    remedy = f"run it with {option_of(found)}" if known else f"write it with one of {', '.join(SEPARATORS)}"
    return f"the fields are separated by {found!r}, not by {expected!r}: {remedy}"
