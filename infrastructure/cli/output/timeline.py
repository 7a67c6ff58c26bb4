"""The timeline of a saga: its events as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ....domain.saga.events import Direction
from ...ledger.saga_history import HistoryEntry
from .event_text import EventText, ShowInstant, describe, describe_unregistered, direction_of
from .table import Table
from .timestamps import show_instant

COLUMNS = ("TIME (UTC)", "POSITION", "EVENT", "STEP", "TRY", "DETAIL", "BY", "VERSION")
TONES = {"bad": "red", "back": "yellow", "good": "green"}
BACK = "↩ "
"""Marks an event that undoes something."""
INSIDE = "   └ "
"""Marks an event of a participant, under the step that commanded it."""


def timeline(saga_id: str, entries: Sequence[HistoryEntry]) -> Table:
    """Return the events as a table, with those of participants indented and those that undo marked."""
    texts = [text_of(entry) for entry in entries]
    rows, styles = [], {}
    back = False
    for index, (entry, text) in enumerate(zip(entries, texts, strict=True)):
        own = entry.stream_id == saga_id
        if own and entry.event is not None:
            back = direction_of(entry.event) is Direction.COMPENSATION or text.tone == "back"
        mark = (BACK if back else "") if own else INSIDE
        step = text.step if own else f"   {entry.stream_id}"
        event = f"{mark}{text.event}"
        rows.append(
            (entry.recorded_at, entry.position, event, step, text.attempt, text.detail, _author(entry), entry.version)
        )
        if style := TONES.get(text.tone or "", "dim" if not own else None):
            styles[index] = style
    return Table(COLUMNS, rows, styles)


def text_of(entry: HistoryEntry, when: ShowInstant = show_instant) -> EventText:
    """Return an event of a history in words; `when` puts the times in them into words."""
    if entry.event is None:
        return describe_unregistered(entry.topic, entry.data)
    return describe(entry.event, when)


def _author(entry: HistoryEntry) -> str | None:
    """Return the person or program that asked for an event, and the worker that wrote it."""
    meta = entry.meta
    names: Iterable[str | None] = (meta.actor, meta.worker and f"worker {meta.worker}")
    return ", ".join(name for name in names if name) or None
