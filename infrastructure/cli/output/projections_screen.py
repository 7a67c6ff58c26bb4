"""How far each view is, on a screen: which are behind or stopped first of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ....projections.projection import Row
from .screen import Line, wrapped
from .screen_table import table_lines
from .table import Table
from .text import counted
from .worker_names import short_names

LIVE: Final = "live"
GENERATION_FROM_CELLS: Final = 100
"""From this width on, the number of rebuilds has a column."""


def projections_screen(rows: Sequence[Row], head: int, width: int) -> Iterator[Line]:
    """Yield the lines of the screen."""
    if not rows:
        yield Line("no view")
        return
    for sentence, style in _summary(rows, head):
        yield from wrapped(sentence, width, style=style)
    yield Line("")
    followers = short_names(worker for row in rows for worker in row["followers"])
    columns = ["VIEW", "VERSION", "POSITION", "LAG", "STATUS", "UPDATED"]
    names = ["name", "version", "position", "lag_events", "status", "updated_at"]
    if width >= GENERATION_FROM_CELLS:
        columns.insert(2, "GENERATION")
        names.insert(2, "generation")
    cells = [[row[name] for name in names] for row in rows]
    styles = {at: "red" for at, row in enumerate(rows) if row["error"] or row["status"] == "stopped"}
    notes = {at: told for at, row in enumerate(rows) if (told := _notes(row))}
    if followers:
        columns.append("FOLLOWED BY")
        cells = [
            [*each, ", ".join(followers[worker] for worker in row["followers"])]
            for each, row in zip(cells, rows, strict=True)
        ]
    yield from table_lines(Table(columns, cells, styles, notes=notes), width, condensed=False)


def _summary(rows: Sequence[Row], head: int) -> Iterator[tuple[str, str]]:
    """Yield what is asked first: whether a view is stopped, and whether one is behind."""
    stopped = [row["name"] for row in rows if row["status"] == "stopped"]
    behind = [row for row in rows if row["public"] and row["lag_events"] and row["name"] not in stopped]
    if stopped:
        yield f"stopped: {', '.join(stopped)}", "bold red"
    if behind:
        most = max(row["lag_events"] for row in behind)
        names = ", ".join(row["name"] for row in behind)
        yield f"behind the head @{head}, by up to {counted(most, 'event')}: {names}", "yellow"
    elif not stopped:
        yield f"every view is at the head @{head}", ""


def _notes(row: Row) -> list[str]:
    notes = []
    if row["error"]:
        at = "" if row["stopped_at_position"] is None else f"at @{row['stopped_at_position']}: "
        notes.append(f"{at}{row['error']}")
    if not row["public"]:
        notes.append("not public: beside the view of that name, for programs of another version, or being rebuilt")
    return notes
