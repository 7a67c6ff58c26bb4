"""Every attempt of every step on a screen: when it began, how long it took, a bar for that, and what went wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from rich.cells import cell_len

from ....domain.saga.event_parts import WaitKind
from ....projections.projection import Row
from .elapsed import Since, elapsed
from .event_text import cut
from .screen import Line, wrapped
from .step_tree import OPEN, Branch
from .timeline import BACK

NAME_CELLS_MAX: Final = 30
"""A longer name of a step stands on a line of its own."""
BAR_CELLS_MIN, BAR_CELLS_MAX = 14, 48
START_FROM_CELLS: Final = 64
"""A narrower screen does not say when attempts started."""
TONES: Final = {"failed": "red", "unknown": "red", "started": "bold", "waiting": "bold", "cancelled": "yellow"}
WORKED, WAITED, FAILED, UNDER_WAY = "━", "┄", "✗", "▸"
"""What a bar is made of, and how it ends if the attempt did not succeed, or has not ended."""


class _Scale(NamedTuple):
    """The time that the bars cover."""

    since: Since
    now: datetime
    seconds: float
    cells: int

    def bar(self, row: Row) -> str:
        """Return the bar of an attempt."""
        begin, end = (
            (instant - self.since.origin).total_seconds() / self.seconds * self.cells
            for instant in (row["started_at"], row["ended_at"] or self.now)
        )
        first = min(max(math.floor(begin), 0), self.cells - 1)
        length = max(min(math.ceil(end), self.cells) - first, 1)
        mark = WAITED if row.get("waits_for") else WORKED
        last = FAILED if row["status"] in ("failed", "unknown") else UNDER_WAY if row["status"] in OPEN else mark
        return f"{' ' * first}{mark * (length - 1)}{last}"


def step_chart(
    branches: Sequence[Branch], since: Since, now: datetime, width: int, workers: Mapping[str, str]
) -> Iterator[Line]:
    """Yield the chart. `workers` has their short names; only where they are several are they named."""
    rows = [row for branch in branches for row in branch.attempts]
    header, *columns = (_columns(row, since, now, width) for row in (None, *rows))
    cells = [max(map(len, column)) for column in zip(header, *columns, strict=True)]
    name_cells_max = min(NAME_CELLS_MAX, width - sum(cells) - 2 * len(cells))
    names = [cell_len(_name(branch)) for branch in branches]
    name_cells = max([len("STEP"), *(cells for cells in names if cells <= name_cells_max)])
    used = name_cells + sum(cells) + 2 * len(cells)
    scale = _scale(rows, since, now, min(width - used - 2, BAR_CELLS_MAX))
    yield Line(f"{_row('STEP', name_cells, header, cells)}  {_axis(scale)}".rstrip(), "bold")
    texts = iter(columns)
    for branch in branches:
        name, stem = _name(branch), branch.stem
        if cell_len(name) > name_cells:
            yield from wrapped(name.removeprefix(stem), width, stem, branch.below)
            name = branch.below
        for number, row in enumerate(branch.attempts):
            style = TONES.get(row["status"], "")
            line = _row(name if not number else branch.below, name_cells, next(texts), cells)
            yield Line(f"{line}  {scale.bar(row) if scale and row['attempt'] else ''}".rstrip(), style)
            for note in _notes(row, since, workers, is_last=number == len(branch.attempts) - 1):
                yield from wrapped(note, width, f"{branch.below}    ", f"{branch.below}    ", style)


def _name(branch: Branch) -> str:
    return f"{branch.stem}{BACK if branch.is_compensation else ''}{branch.step}"


def _row(name: str, name_cells: int, texts: Sequence[str], cells: Sequence[int]) -> str:
    attempt, status, *times = texts
    padded = (attempt.rjust(cells[0]), status.ljust(cells[1]), *map(str.rjust, times, cells[2:]))
    return "  ".join((f"{name}{' ' * (name_cells - cell_len(name))}", *padded))


def _columns(row: Row | None, since: Since, now: datetime, width: int) -> list[str]:
    """Return the texts beside the name of an attempt; their names for None."""
    attempt, status, *times = ("TRY", "STATUS", "START", "TOOK") if row is None else _texts(row, since, now)
    return [attempt, status, *(times if width >= START_FROM_CELLS else times[1:])]


def _texts(row: Row, since: Since, now: datetime) -> tuple[str, str, str, str]:
    attempt = str(row["attempt"]) if row["attempt"] else ""
    took = elapsed(((row["ended_at"] or now) - row["started_at"]).total_seconds()) if attempt else ""
    return attempt, row["status"], since.offset(row["started_at"]), took


def _scale(rows: Iterable[Row], since: Since, now: datetime, cells: int) -> _Scale | None:
    """Return the scale of the bars; None if there is no room, or no time."""
    end = max((row["ended_at"] or now for row in rows), default=since.origin)
    seconds = (end - since.origin).total_seconds()
    return _Scale(since, now, seconds, cells) if cells >= BAR_CELLS_MIN and seconds > 0 else None


def _axis(scale: _Scale | None) -> str:
    return "" if scale is None else f"0{elapsed(scale.seconds).rjust(scale.cells - 1)}"


def _notes(row: Row, since: Since, workers: Mapping[str, str], *, is_last: bool) -> Iterator[str]:
    """Yield what there is to say about an attempt, each on lines of its own."""
    worker = workers.get(row.get("worker") or "") if len(workers) > 1 else None
    by = "" if worker is None else f", on worker {worker}"
    if row.get("error"):
        yield f"{row['error']}{by}"
    elif row["status"] == "unknown":
        yield f"its worker died: it may have been executed{by}"
    elif row["status"] == "started" and by:
        yield by.removeprefix(", ")
    elif row["status"] == "skipped":
        yield "its condition is false: the saga goes on without it"
    if row.get("retry_at") is not None and is_last:
        yield f"again at {since.moment(row['retry_at'])}"
    if row.get("waits_for") and row["waits_for"] != WaitKind.ITEMS.value:
        yield _wait(row, since)
    if row.get("progress") is not None and row["status"] != "succeeded":
        yield f"progress {cut(row['progress'])}"


def _wait(row: Row, since: Since) -> str:
    has_end = row["waits_until"] is not None and row["status"] == "waiting"
    until = f" until {since.moment(row['waits_until'])}" if has_end else ""
    if row["approvals_needed"] is None:
        approved = ""
    else:
        by = f", by {row['approved_by']}" if row["approved_by"] else ""
        approved = f": {row['approvals']} of {row['approvals_needed']} approved{by}"
    return f"for {row['waits_for']}{until}{approved}"
