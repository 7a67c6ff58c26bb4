"""Rows as CSV or as lines of JSON, for programs that read files: any number of them, in little memory.

CSV is as RFC 4180 has it: a header, commas, lines that end with CR LF, and double quotes around what needs them. A cell
without a value is empty, and an empty text is `""`. Times and numbers are written as `--json` writes them. A text that
a spreadsheet would run as a formula has an apostrophe before it; NDJSON has every text unchanged.

Rows are first written to a temporary file, and then to stdout: the snapshot of the database in which they are read, for
which a rebuild of the view waits, does not last as long as the reader of a pipe likes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

import msgspec

from ....projections.projection import Row
from ...runtime.spreadsheet_cell import as_plain_cell
from ..options import Options
from ..usage import UsageError
from .answer import encoded, jsonable, jsonable_row
from .streams import write_line, write_text
from .text import visible_json

RowFormat: TypeAlias = Literal["table", "json", "csv", "ndjson"]

CHUNK_CHARACTERS: Final = 64 * 1024
_QUOTED: Final = frozenset('",\r\n')


def chosen_format(options: Options, given: RowFormat | None) -> RowFormat:
    """Return the format of an answer. Raises `UsageError` if `--json` and `--format` name two."""
    if options.json and given not in (None, "json"):
        raise UsageError(f"--json and --format {given} ask for two formats: give one of them")
    return "json" if options.json else given or "table"


class RowFile:
    """A temporary file of rows, from which an answer is written; a context manager."""

    def __init__(self, columns: Sequence[str], format_: RowFormat) -> None:
        self._columns = columns
        self._format = format_
        with _written():
            self._file = TemporaryFile("w+", encoding="utf-8", errors="surrogatepass", newline="")  # noqa: SIM115 -- __exit__ closes it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # of rows that could not be written, which it writes again
            self._file.close()

    def fill(self, rows: Iterable[Row]) -> int:
        """Write rows into the file. Returns how many. Raises `UsageError` if the disk does not take them."""
        count = 0

        def counting() -> Iterator[Row]:
            nonlocal count
            for row in rows:
                count += 1
                yield row

        lines = csv_lines(counting(), self._columns) if self._format == "csv" else ndjson_lines(counting())
        with _written():
            self._file.writelines(lines)
            self._file.seek(0)
        return count

    def write_answer(self) -> None:
        """Write the file to stdout: on a terminal visible, otherwise as it is."""
        if sys.stdout.isatty():
            for line in self._file:
                write_line(line.rstrip("\r\n"))
            return
        while part := self._file.read(CHUNK_CHARACTERS):
            write_text(part)


@contextmanager
def _written() -> Iterator[None]:
    """Translate the errors of a disk that is full or may not be written to."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"the rows cannot be written to a temporary file: {error.strerror or error}; name another folder in TMPDIR"
        ) from error


def ndjson_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Yield each row as one line of JSON."""
    return (f"{visible_json(encoded(jsonable_row(row)))}\n" for row in rows)


def csv_lines(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[str]:
    """Yield the header, and each row."""
    yield _line([_quoted(as_plain_cell(name)) for name in columns])
    for row in rows:
        yield _line([_cell(row[name]) for name in columns])


def _line(cells: Sequence[str]) -> str:
    return f"{','.join(cells)}\r\n"


def _cell(value: Any) -> str:
    value = jsonable(value)
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return encoded(value)
        case str():
            return _quoted(as_plain_cell(value))
        case list() | tuple() | dict():
            return _quoted(encoded(value))
        case _:
            return _quoted(as_plain_cell(msgspec.to_builtins(value, enc_hook=str, str_keys=True)))


def _quoted(text: str) -> str:
    if text and _QUOTED.isdisjoint(text):
        return text
    return '"' + text.replace('"', '""') + '"'
