"""The timeline of a saga: its events as a table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from ....domain.saga.events import Direction
from ...ledger.saga_history import HistoryEntry
from .event_text import EventText, describe, describe_unregistered, direction_of
from .table import Table

COLUMNS = ("TIME (UTC)", "POSITION", "EVENT", "STEP", "TRY", "DETAIL", "BY")
TONES = {"bad": "red", "back": "yellow", "good": "green"}
BACK = "↩ "
"""Marks an event that undoes something."""
INSIDE = "   └ "
"""Marks an event of a participant, under the step that commanded it."""


def timeline(saga_id: str, entries: Sequence[HistoryEntry]) -> Table:
    """Return the events as a table, with those of participants indented and those that undo marked.

    On a terminal the author of an event is named only where it changes, so that the details have room.
    """
    on_terminal = sys.stdout.isatty()
    texts = [_text(entry) for entry in entries]
    rows, styles = [], {}
    back, by = False, None
    for index, (entry, text) in enumerate(zip(entries, texts, strict=True)):
        own = entry.stream_id == saga_id
        if own and entry.event is not None:
            back = direction_of(entry.event) is Direction.COMPENSATION or text.tone == "back"
        mark = (BACK if back else "") if own else INSIDE
        step = text.step if own else f"   {entry.stream_id}"
        author, changed, by = _author(entry), _author(entry) != by, _author(entry)
        detail = f"[{author}] {text.detail}" if on_terminal and author and changed else text.detail
        row = (entry.recorded_at, entry.position, f"{mark}{text.event}", step, text.attempt, detail)
        rows.append(row if on_terminal else (*row, author))
        if style := TONES.get(text.tone or "", "dim" if not own else None):
            styles[index] = style
    failed = frozenset(index for index, text in enumerate(texts) if text.tone == "bad")
    return Table(COLUMNS[:6] if on_terminal else COLUMNS, rows, styles, flexible=("DETAIL",), in_full=failed)


def _text(entry: HistoryEntry) -> EventText:
    return describe_unregistered(entry.topic, entry.data) if entry.event is None else describe(entry.event)


def _author(entry: HistoryEntry) -> str | None:
    """Return the person or program that asked for an event, and the worker that wrote it."""
    meta = entry.meta
    names: Iterable[str | None] = (meta.actor, meta.worker and f"worker {meta.worker}")
    return ", ".join(name for name in names if name) or None
