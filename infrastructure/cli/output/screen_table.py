"""Tables on a screen: they keep to its width, cut nothing and break no word.

A table that is too wide is narrowed: by columns with no value, or with one value, which stand above it; by times to the
second or the minute; by a first cell on a line of its own; by cells that go on in further lines; and by columns whose
values stand below each row. If that is not enough, each row becomes a list of its values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import product
from typing import Final, NamedTuple

from rich.cells import cell_len

from .elapsed import dated, day, time_of_day
from .screen import Line, labelled, wrapped
from .table import GAP, Table, cell, is_numeric, joined

HEADER: Final = "bold"
NOTE: Final = "    "
"""What stands before the lines below a row that belong to it."""
FIRST_CELLS_MIN: Final = 16
"""The first column is not narrower than this; a longer cell stands on a line of its own."""
WORD_CELLS_MAX: Final = 24
"""A column may be narrower than a word that is longer than this, such as JSON: that is broken after punctuation."""
CONSTANT_ROWS_MIN: Final = 3
"""From so many rows on, a value that all of them share may stand above the table."""
COLUMNS_MIN: Final = 3
"""A table with fewer columns is none."""
LINES_MAX: Final = 3
"""Rows that need more lines on average are shown as lists."""

_Clock = Callable[[datetime], str]


class _Texts(NamedTuple):
    """The texts of some columns of a table."""

    columns: Sequence[int]
    rows: list[list[str]]
    widths: list[int]

    @property
    def width(self) -> int:
        """How wide it is in all."""
        return sum(self.widths) + len(GAP) * (len(self.widths) - 1)


def table_lines(table: Table, width: int, *, condensed: bool = True) -> Iterator[Line]:
    """Yield the lines of a table on a screen; `condensed`: columns with one value or none may stand above it."""
    days = {day(value) for row in table.rows for value in row if isinstance(value, datetime)}
    clocks = _clocks(one_day=len(days) == 1)
    every = range(len(table.columns))
    filled = [at for at in every if table.rows and any(cell(row[at]) for row in table.rows)] or list(every)
    varying = [at for at in filled if at == 0 or not _is_constant(table, at)]
    columns_of = [filled, varying] if condensed else [every]
    shapes = [(every, clocks[0]), (columns_of[0], clocks[0]), *product([columns_of[-1]], clocks)]
    for columns, clock in shapes:
        texts = _texts(table, columns, clock)
        if texts.width <= width:
            break
    else:
        texts = _hanging(table, texts, width) or _narrowed(table, texts, width) or texts
    shown = texts.columns
    if texts.width > width and len(table.rows) > 1:
        table, texts = _below(table, texts, clocks[0], width)
    if texts.width > width:
        yield from [Line("times: UTC", "dim")] if days else []
        yield from _lists(table, _texts(table, filled, dated), width)
        return
    for caption in _captions(table, shown, days):
        yield from wrapped(caption, width, style="dim")
    yield from _aligned(table, texts, width)


def _clocks(*, one_day: bool) -> list[_Clock]:
    """Return the forms of times, the longest first: without the date if the table has only one, which stands above."""
    if one_day:
        return [partial(time_of_day, timespec=spec) for spec in ("milliseconds", "seconds")]
    return [partial(dated, timespec=spec) for spec in ("milliseconds", "seconds", "minutes")]


def _captions(table: Table, columns: Sequence[int], days: set[str]) -> Iterator[str]:
    """Yield what the table does not repeat in each row."""
    if days:
        yield f"times: {days.pop()}, UTC" if len(days) == 1 else "times: UTC"
    missing = [at for at in range(len(table.columns)) if at not in columns]
    if constant := [at for at in missing if cell(table.rows[0][at])]:
        same = (f"{table.columns[at]} {_text(table.rows[0][at], dated)}" for at in constant)
        yield f"in every row: {', '.join(same)}"
    if empty := [table.columns[at] for at in missing if at not in constant]:
        yield f"without a value: {', '.join(empty)}"


def _is_constant(table: Table, at: int) -> bool:
    return len(table.rows) >= CONSTANT_ROWS_MIN and len({cell(row[at]) for row in table.rows}) == 1


def _texts(table: Table, columns: Sequence[int], clock: _Clock) -> _Texts:
    rows = [[_text(row[at], clock) for at in columns] for row in table.rows]
    widths = [
        max([cell_len(table.columns[at]), *(cell_len(row[place]) for row in rows)]) for place, at in enumerate(columns)
    ]
    return _Texts(columns, rows, widths)


def _text(value: object, clock: _Clock) -> str:
    return clock(value) if isinstance(value, datetime) else cell(value)


def _hanging(table: Table, texts: _Texts, width: int) -> _Texts | None:
    """Return a narrower first column, in which some cells do not fit; None if even that is too wide."""
    first = texts.widths[0] - (texts.width - width)
    least = max(FIRST_CELLS_MIN, cell_len(table.columns[0]))
    if len(texts.widths) == 1 or first < least:
        return None
    fitting = [cell_len(row[0]) for row in texts.rows if cell_len(row[0]) <= first]
    return texts._replace(widths=[max([least, *fitting]), *texts.widths[1:]])


def _narrowed(table: Table, texts: _Texts, width: int) -> _Texts | None:
    """Return narrower columns of words, the widest one narrowed each time; None if words would have to be broken."""
    least = [_cells_min(table, texts, place) for place in range(len(texts.widths))]
    widths = list(texts.widths)
    while sum(widths) + len(GAP) * (len(widths) - 1) > width:
        giving = [place for place in range(len(widths)) if widths[place] > least[place]]
        if not giving:
            return None
        widths[max(giving, key=widths.__getitem__)] -= 1
    heights = [
        max(len(list(wrapped(text, cells))) for text, cells in zip(row, widths, strict=True)) for row in texts.rows
    ]
    return texts._replace(widths=widths) if sum(heights) <= LINES_MAX * len(heights) else None


def _below(table: Table, texts: _Texts, clock: _Clock, width: int) -> tuple[Table, _Texts]:
    """Return the table with the columns that fit, and below each row the values of the others; or as it was."""
    left, taken = width, list[int]()
    least = max(FIRST_CELLS_MIN, cell_len(table.columns[0]))
    fitting = [cell_len(row[0]) for row in texts.rows if cell_len(row[0]) <= width // 3]
    widths = [min(max([least, *fitting]), texts.widths[0]), *texts.widths[1:]]
    for place, cells in enumerate(widths):
        if cells + len(GAP) * bool(taken) <= left:
            left -= cells + len(GAP) * bool(taken)
            taken.append(place)
    if len(taken) < COLUMNS_MIN:
        return table, texts
    names = [table.columns[at] for at in texts.columns]
    others = [place for place in range(len(names)) if place not in taken]
    notes = {}
    for index, row in enumerate(_texts(table, texts.columns, clock).rows):
        told = ", ".join(f"{names[place]}={row[place]}" for place in others if row[place])
        notes[index] = [*([told] if told else []), *table.notes.get(index, ())]
    rows = [[row[place] for place in taken] for row in texts.rows]
    return table._replace(notes=notes), _Texts(
        [texts.columns[place] for place in taken], rows, [widths[place] for place in taken]
    )


def _cells_min(table: Table, texts: _Texts, place: int) -> int:
    at = texts.columns[place]
    if place == 0 or any(isinstance(row[at], datetime | int | float) for row in table.rows):
        return texts.widths[place]
    words = [cell_len(word) for row in texts.rows for word in row[place].split()]
    return max([cell_len(table.columns[at]), *(min(word, WORD_CELLS_MAX) for word in words)])


def _aligned(table: Table, texts: _Texts, width: int) -> Iterator[Line]:
    right = [is_numeric(table, at) for at in texts.columns]
    yield Line(joined([table.columns[at] for at in texts.columns], texts.widths, right), HEADER)
    for index, row in enumerate(texts.rows):
        style = table.styles.get(index, "")
        yield from (Line(text, HEADER) for text in table.breaks.get(index, ()))
        shown = row
        if cell_len(row[0]) > texts.widths[0]:
            yield from wrapped(row[0], width, style=style)
            shown = ["", *row[1:]]
        parts = [[line.text for line in wrapped(text, cells)] for text, cells in zip(shown, texts.widths, strict=True)]
        for number in range(max(map(len, parts))):
            cells = [part[number] if number < len(part) else "" for part in parts]
            yield Line(joined(cells, texts.widths, right), style)
        yield from _notes(table, index, width)


def _lists(table: Table, texts: _Texts, width: int) -> Iterator[Line]:
    names = [table.columns[at] for at in texts.columns]
    for index, row in enumerate(texts.rows):
        if index:
            yield Line("")
        yield from (Line(text, HEADER) for text in table.breaks.get(index, ()))
        style = table.styles.get(index, "")
        for line in labelled(zip(names, row, strict=True), width):
            yield line._replace(style=style)
        yield from _notes(table, index, width)


def _notes(table: Table, index: int, width: int) -> Iterator[Line]:
    for note in table.notes.get(index, ()):
        yield from wrapped(note, width, NOTE, style=table.styles.get(index, ""))
