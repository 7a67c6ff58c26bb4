"""Tables as lines of aligned text: piped, nothing is cut; on a terminal, they fit its width."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from rich.cells import cell_len, chop_cells, set_cell_size

from .text import one_line
from .timestamps import show_instant

GAP = "  "
COLUMN_CELLS_MIN = 8
"""No column is cut below this, even if the table is then too wide."""
INSTANT_CELLS = len("2026-03-01T02:17:05.120Z")


class Table(NamedTuple):
    """Rows under named columns."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    styles: Mapping[int, str] = MappingProxyType({})
    """Colours of whole rows, by their index."""
    flexible: Sequence[str] = ()
    """The columns that are narrowed first on a narrow terminal."""
    in_full: frozenset[int] = frozenset()
    """Rows that continue on further lines rather than being cut."""


class TableLine(NamedTuple):
    """One line of a table; `row` is its index, None for the header."""

    row: int | None
    text: str


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


def lines(table: Table, width: int | None = None) -> Iterator[TableLine]:
    """Yield the lines of a table: in full, or cut to a width in terminal cells."""
    cells = [[cell(value) for value in row] for row in table.rows]
    widths = [max([cell_len(name), *(cell_len(row[at]) for row in cells)]) for at, name in enumerate(table.columns)]
    right = [_is_numeric(table, at) for at in range(len(widths))]
    if width is not None:
        widths = _fitted(table, widths, width)
    yield TableLine(None, _joined(table.columns, widths, right))
    for index, row in enumerate(cells):
        if index in table.in_full:
            yield from (TableLine(index, text) for text in _spread(row, widths, right))
        else:
            yield TableLine(index, _joined(row, widths, right))


def _fitted(table: Table, widths: list[int], width: int) -> list[int]:
    """Return narrower widths: the flexible columns are narrowed first, then the others, each time the widest.

    The first column, which identifies the row, and times keep their width.
    """
    fitted = list(widths)
    flexible = {at for at, name in enumerate(table.columns) if name in table.flexible}
    fixed = {0} | {at for at in range(len(widths)) if widths[at] == INSTANT_CELLS}
    for giving in (flexible, set(range(len(widths))) - fixed - flexible):
        while sum(fitted) + len(GAP) * (len(fitted) - 1) > width:
            widest = max(giving, key=lambda at: fitted[at], default=None)
            if widest is None or fitted[widest] <= COLUMN_CELLS_MIN:
                break
            fitted[widest] -= 1
    return fitted


def _joined(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    return GAP.join(map(_padded, row, widths, right)).rstrip()


def _padded(text: str, width: int, right: bool) -> str:
    missing = width - cell_len(text)
    if missing < 0:
        return f"{set_cell_size(text, width - 1)}…"
    return " " * missing + text if right else text + " " * missing


def _spread(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> Iterator[str]:
    """Yield a row on as many lines as its longest cell needs."""
    parts = [chop_cells(text, width) if text else [""] for text, width in zip(row, widths, strict=True)]
    for number in range(max(map(len, parts))):
        yield _joined([part[number] if number < len(part) else "" for part in parts], widths, right)


def _is_numeric(table: Table, at: int) -> bool:
    values = [row[at] for row in table.rows if row[at] is not None]
    return bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
