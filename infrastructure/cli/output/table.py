"""Tables as lines of aligned text for pipes: one row to a line, and nothing is cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from rich.cells import cell_len

from .text import one_line
from .timestamps import show_instant

GAP = "  "


class Table(NamedTuple):
    """Rows under named columns."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    styles: Mapping[int, str] = MappingProxyType({})
    """Colours of whole rows, by their index."""
    notes: Mapping[int, Sequence[str]] = MappingProxyType({})
    """On a screen: texts below a row, by its index, each on lines of its own, such as an error."""
    breaks: Mapping[int, Sequence[str]] = MappingProxyType({})
    """On a screen: lines above a row, by its index, such as a date."""


def cell(value: Any) -> str:
    """Return the text of a value in a table."""
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
            return one_line(msgspec.json.encode(value, enc_hook=str).decode())
        case _:
            return one_line(str(value))


def lines(table: Table) -> Iterator[str]:
    """Yield the lines of a table, with all of its text."""
    cells = [[cell(value) for value in row] for row in table.rows]
    widths = [max([cell_len(name), *(cell_len(row[at]) for row in cells)]) for at, name in enumerate(table.columns)]
    right = [is_numeric(table, at) for at in range(len(widths))]
    yield joined(table.columns, widths, right)
    yield from (joined(row, widths, right) for row in cells)


def joined(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    """Return a line of cells, each padded to its width: on the left if `right` says that it stands on the right."""
    return GAP.join(map(_padded, row, widths, right)).rstrip()


def is_numeric(table: Table, at: int) -> bool:
    """Whether a column holds numbers, which stand on the right."""
    values = [row[at] for row in table.rows if row[at] is not None]
    return bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _padded(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - cell_len(text))
    return f"{blanks}{text}" if right else f"{text}{blanks}"
