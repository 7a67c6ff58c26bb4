"""Output: results on stdout, messages on stderr; JSON, or text that is the same wherever it goes.

On a terminal, tables fit its width and have colours; piped, nothing is cut, coloured or wrapped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from .instants import json_instant, show_instant
from .options import Options
from .text import one_line

STYLES = {
    "completed": "green",
    "compensated": "yellow",
    "compensating": "yellow",
    "needs_intervention": "bold red",
    "abandoned": "red",
    "cancelled": "yellow",
    "stopped": "bold red",
}
"""How a status looks where there are colours."""


class Table(NamedTuple):
    """Rows under named columns; `styles` colours whole rows, by their index."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    styles: Mapping[int, str] = MappingProxyType({})


Block = str | Table
"""A part of an answer in text."""


def answer(options: Options, document: dict[str, Any], text: Callable[[], Iterable[Block]]) -> None:
    """Write a command's result: the document with `--json`, else its text."""
    if options.json:
        sys.stdout.write(msgspec.json.encode(document, enc_hook=_plain).decode() + "\n")
        return
    for block in text():
        write(block)


def write(block: Block) -> None:
    """Write one block of text to stdout."""
    if isinstance(block, str):
        sys.stdout.write(f"{block}\n")
    elif sys.stdout.isatty():
        _write_fitted(block)
    else:
        sys.stdout.writelines(f"{line}\n" for line in _lines(block))


def say(message: str) -> None:
    """Tell the person something that is not the result: one line on stderr."""
    sys.stdout.flush()
    sys.stderr.write(f"{one_line(message)}\n")
    sys.stderr.flush()


def cell(value: Any) -> str:
    """A value in a table."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return show_instant(value)
        case Enum():
            return str(value.value)
        case list() | tuple() | dict():
            return one_line(msgspec.json.encode(value, enc_hook=_plain).decode())
        case _:
            return one_line(str(value))


def jsonable(value: Any) -> Any:
    """A row's value as JSON: times in UTC with `Z`."""
    return json_instant(value) if isinstance(value, datetime) else value


def _plain(value: Any) -> Any:
    """What msgspec itself does not write."""
    return str(value)


def _lines(table: Table) -> Iterable[str]:
    """The table as lines of aligned text."""
    from rich.cells import cell_len

    cells = [[cell(value) for value in row] for row in table.rows]
    widths = [
        max([cell_len(name), *(cell_len(row[index]) for row in cells)]) for index, name in enumerate(table.columns)
    ]
    numeric = [_is_numeric(table, index) for index in range(len(table.columns))]
    for row in [list(table.columns), *cells]:
        padded = (
            " " * (width - cell_len(text)) + text if right else text + " " * (width - cell_len(text))
            for text, width, right in zip(row, widths, numeric, strict=True)
        )
        yield "  ".join(padded).rstrip()


def _write_fitted(table: Table) -> None:
    """The table on a terminal."""
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, name in enumerate(table.columns):
        shown.add_column(
            name, justify="right" if _is_numeric(table, index) else "left", overflow="fold", no_wrap=index == 0
        )
    for index, row in enumerate(table.rows):
        texts = [cell(value) for value in row]
        shown.add_row(*(Text(text, style=STYLES.get(text, "")) for text in texts), style=table.styles.get(index))
    Console(file=sys.stdout, highlight=False, soft_wrap=False).print(shown)


def _is_numeric(table: Table, index: int) -> bool:
    values = [row[index] for row in table.rows if row[index] is not None]
    return bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
