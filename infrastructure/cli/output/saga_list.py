"""Sagas on a screen: one to a line, with the date once, and what failed it on lines of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from ....projections.projection import Row
from .elapsed import about, day, elapsed, time_of_day
from .event_text import cut
from .screen import Line, wrapped
from .screen_table import table_lines
from .table import Table
from .text import counted

EVENTS_FROM_CELLS: Final = 100
"""From this width on, the number of events has a column."""
URGENT: Final = ("needs_intervention", "compensating", "running", "waiting")
"""The statuses that are counted first, in this order."""
TONES: Final = {"needs_intervention": "bold red"}


def saga_list(rows: Sequence[Row], now: datetime, width: int) -> Iterator[Line]:
    """Yield the lines of the list, whose rows are in the order of their starts."""
    if not rows:
        yield Line("no saga")
        return
    wide = width >= EVENTS_FROM_CELLS
    yield from wrapped(_summary(rows), width)
    columns = ["SAGA", "STATUS", "STARTED", "TOOK", "STEP"]
    cells = [_cells(row, now, wide=wide) for row in rows]
    if wide:
        columns.append("EVENTS")
        cells = [[*each, row["events"]] for each, row in zip(cells, rows, strict=True)]
    yield from table_lines(
        Table(
            columns,
            cells,
            {at: tone for at, row in enumerate(rows) if (tone := TONES.get(row["status"]))},
            notes={at: notes for at, row in enumerate(rows) if (notes := _notes(row))},
            breaks=_days(rows),
        ),
        width,
        condensed=False,
    )


def _summary(rows: Sequence[Row]) -> str:
    """Return how many of the sagas have each status, the most urgent first."""
    count = Counter(row["status"] for row in rows)
    order = [*URGENT, *sorted(set(count) - set(URGENT))]
    return f"{counted(len(rows), 'saga')}: {', '.join(f'{count[each]} {each}' for each in order if count[each])}"


def _cells(row: Row, now: datetime, *, wide: bool) -> list[object]:
    seconds = ((row["ended_at"] or now) - row["started_at"]).total_seconds()
    took = elapsed(seconds) if wide else about(seconds)
    return [
        row["saga_id"],
        row["status"],
        time_of_day(row["started_at"], "seconds"),
        took if row["ended_at"] else f"{took} so far" if wide else f"{took} +",
        row["current_step"] or (None if row["status"] == "completed" else row["failed_step"]),
    ]


def _notes(row: Row) -> list[str]:
    """Yield what is wrong with a saga: nothing that one met on its way and that has completed."""
    notes = [cut(row["error"])] if row["error"] and row["status"] != "completed" else []
    if row["findings"]:
        notes.append(f"{counted(row['findings'], 'event')} that its choreography does not allow")
    return notes


def _days(rows: Sequence[Row]) -> dict[int, list[str]]:
    """Return the dates, each above the first saga of that day."""
    days = [day(row["started_at"]) for row in rows]
    return {at: [f"{each} UTC"] for at, each in enumerate(days) if not at or days[at - 1] != each}
