"""The history of a saga on a screen: its events in the order of the log, with those of participants as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
from rich.cells import cell_len

from ....domain.saga.events import CompensationFailed, Direction, StepFailed
from ...ledger.saga_history import HistoryEntry
from .elapsed import Since, dated, day, time_of_day
from .event_text import EventText, cut, direction_of
from .lanes import LanesAt, lanes
from .screen import Line, labelled, wrapped
from .text import counted, one_line
from .timeline import BACK, TONES, text_of
from .worker_names import short_names

CLOCK_FROM_CELLS: Final = 100
"""From this width on, the time of day stands beside the offset."""
EVENT_CELLS_MAX: Final = 22
KEY: Final = "key "
"""How the detail of an attempt begins: it is shown only where it fits on the line of its event."""
DETAIL: Final = "  "
"""What stands before the detail of an event that has lines of its own."""


class _Shown(NamedTuple):
    """One event as it is shown."""

    entry: HistoryEntry
    text: EventText
    own: bool
    """It is the saga's, and not one of a participant."""
    lanes: LanesAt
    stem: str
    below: str
    by: str
    back: bool


class HistoryPage(NamedTuple):
    """The events of a saga, and those of them that are shown."""

    saga_id: str
    entries: Sequence[HistoryEntry]
    shown: Sequence[HistoryEntry]
    status: str


def history_screen(page: HistoryPage, width: int, facts: Iterable[tuple[str, str]] = ()) -> Iterator[Line]:
    """Yield the lines of the screen; `facts` are named values above the events."""
    if not page.entries:
        return
    origin, number = page.entries[0].recorded_at, counted(len(page.entries), "event")
    yield from wrapped(f"{page.saga_id}  {page.status}", width, style="bold")
    yield from wrapped(f"{number} from {dated(origin)} UTC, from which the offsets count", width)
    for block in (labelled(facts, width), event_lines(page, width)):
        lines = list(block)
        yield from [Line(""), *lines] if lines else []


def event_lines(page: HistoryPage, width: int) -> Iterator[Line]:
    """Yield the events alone, under their header."""
    if not page.shown:
        return
    since = Since(page.entries[0].recorded_at)
    first = page.entries.index(page.shown[0])
    shown = _all_shown(page, since)[first : first + len(page.shown)]
    margin = _Margin(page.shown, since, width)
    names = [each.text.event for each in shown]
    event_cells = min(max([len(BACK) + len(name) for name in names], default=0), EVENT_CELLS_MAX)
    yield Line(margin.header(len(shown[0].lanes.below)), "bold")
    for before, each in zip([None, *shown], shown, strict=False):
        if before is not None and day(before.entry.recorded_at) != day(each.entry.recorded_at):
            yield Line(f"{margin.blank}{day(each.entry.recorded_at)} UTC", "bold")
        yield from _lines(each, margin.of(each, None if before is None else before.entry), margin, width, event_cells)


def _lines(each: _Shown, left: str, margin: _Margin, width: int, event_cells: int) -> Iterator[Line]:
    text, own = each.text, each.own
    style = TONES.get(text.tone or "", "" if own else "dim")
    mark = BACK if each.back else ""
    if own:
        name = f"{mark}{text.event}"
        subject = text.step or ""
    else:
        name = text.event
        subject = f"{each.entry.stream_id} v{each.entry.version}{f'  {text.step}' if text.step else ''}"
    if (text.attempt or 0) > 1:
        subject += f" try {text.attempt}"
    first = f"{left}{each.lanes.beside}{each.stem}"
    below = f"{margin.blank}{each.lanes.below}{each.below}"
    title = one_line(f"{name}{' ' * (event_cells - cell_len(name))} {subject}" if subject else name)
    details = [detail for detail in (each.by, text.detail) if detail]
    while details and not (text.tone == "bad" and details[0] == text.detail):  # an error has lines of its own
        longer = f"{title}  {one_line(details[0])}"
        if cell_len(first) + cell_len(longer) > width:
            break
        title, details = longer, details[1:]
    yield from wrapped(title, width, first, f"{below}{DETAIL}", style)
    for detail in details:
        if not detail.startswith(KEY):
            yield from wrapped(detail, width, f"{below}{DETAIL}", f"{below}{DETAIL}", style)


def _all_shown(page: HistoryPage, since: Since) -> list[_Shown]:
    """Return every event as it is shown: what is beside it depends on those before and after it."""
    own = [entry.stream_id == page.saga_id for entry in page.entries]
    texts = [_text(entry, since) for entry in page.entries]
    beside = lanes(entry.event if mine else None for entry, mine in zip(page.entries, own, strict=True))
    workers = short_names(entry.meta.worker for entry in page.entries)
    shown: list[_Shown] = []
    back, begun, author = False, False, ("", "")
    for number, (entry, text) in enumerate(zip(page.entries, texts, strict=True)):
        stem = below = ""
        if own[number]:
            begun = True
            if entry.event is not None:
                back = direction_of(entry.event) is Direction.COMPENSATION or text.tone == "back"
        else:
            is_last = number + 1 == len(own) or own[number + 1]
            stem, below = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
            if not begun:  # an event of a service, with which the saga begins
                stem = below = ""
        names = entry.meta.actor or "", workers.get(entry.meta.worker or "", "")
        told = ("" if names[0] and names[0] in text.detail else names[0], names[1])  # `ann gives approval …`
        by = _author(told, author)
        author = (names[0] or author[0], names[1] or author[1])
        shown.append(_Shown(entry, text, own[number], beside[number], stem, below, by, back and own[number]))
    return shown


def _text(entry: HistoryEntry, since: Since) -> EventText:
    """Return an event in words: one of a type that the app in use does not register by its fields, an error in full."""
    text = text_of(entry, since.moment)
    if isinstance(entry.event, StepFailed | CompensationFailed):
        message = entry.event.error.message
        return text._replace(detail=text.detail.replace(cut(message), one_line(message)))
    fields = msgspec.json.decode(entry.data) if isinstance(entry.data, msgspec.Raw) else None
    if not isinstance(fields, dict):
        return text
    shown = (value if isinstance(value, str) else msgspec.json.encode(value).decode() for value in fields.values())
    pairs = zip(fields, shown, strict=True)
    return text._replace(detail=cut(" ".join(f"{name}={value}" for name, value in pairs if name != "at")))


def _author(names: tuple[str, str], before: tuple[str, str]) -> str:
    """Return who asked for an event and which worker wrote it, where that changes."""
    actor, worker = names
    parts = [
        actor if actor and actor != before[0] else "",
        f"worker {worker}" if worker and worker != before[1] else "",
    ]
    told = ", ".join(filter(None, parts))
    return f"by {told}" if told else ""


class _Margin:
    """The columns on the left: position, version, offset, and on a wide screen the time of day."""

    def __init__(self, entries: Sequence[HistoryEntry], since: Since, width: int) -> None:
        self._since = since
        self._has_clock = width >= CLOCK_FROM_CELLS
        self._position = max(len("LOG"), *(len(f"@{entry.position}") for entry in entries))
        self._version = max(len("VER"), *(len(f"v{entry.version}") for entry in entries))
        self._offset = max(len("OFFSET"), *(len(since.offset(entry.recorded_at)) for entry in entries))
        self.blank = " " * len(self._joined("", "", "", ""))
        """As wide as they are."""

    def header(self, lanes: int) -> str:
        """Return the names of the columns."""
        return f"{self._joined('LOG', 'VER', 'OFFSET', 'UTC')}{' ' * lanes}EVENT"

    def of(self, each: _Shown, before: HistoryEntry | None) -> str:
        """Return the columns of an event: its time only if it is another one than that of the event before."""
        entry = each.entry
        position = "" if before is not None and before.position == entry.position else f"@{entry.position}"
        version = f"v{entry.version}" if each.own else ""
        if before is not None and before.recorded_at == entry.recorded_at:
            return self._joined(position, version, "", "")
        offset, clock = self._since.offset(entry.recorded_at), time_of_day(entry.recorded_at)
        return self._joined(position, version, offset, clock)

    def _joined(self, position: str, version: str, offset: str, clock: str) -> str:
        columns = [position.rjust(self._position), version.rjust(self._version), offset.rjust(self._offset)]
        if self._has_clock:
            columns.append(clock.ljust(len("02:17:05.120")))
        return "  ".join(columns) + "  "
