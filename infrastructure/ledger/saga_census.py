"""Counts the orchestrated sagas of each version of a definition by the log alone: no view is needed or written.

A view may not be there, or be of an older version, when an app is checked before it is deployed.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final, NamedTuple

from ...domain.saga.events import Action, InterventionResolved, SagaCompensated, SagaCompleted, SagaStarted
from ..event_store.codec import UnreadableEvent
from ..event_store.event_row import StoredRow
from ..runtime.progress import ReportProgress
from .context import LedgerContext

_ROWS_PER_READ: Final = 1_000
_TOPICS: Final = tuple(
    type_.schema.name for type_ in (SagaStarted, SagaCompleted, SagaCompensated, InterventionResolved)
)

VersionKey = tuple[str, int]


class SagaCensus(NamedTuple):
    """How many sagas a log has."""

    sagas: Counter[VersionKey]
    """How many sagas of each (definition, version) were started."""
    unfinished: Counter[VersionKey]
    """How many of them have not ended."""
    newest: list[tuple[str, VersionKey]]
    """The sagas that were asked for, the newest first, each with its definition and version."""


def take_census(context: LedgerContext, *, newest: int | None = 0, report: ReportProgress | None = None) -> SagaCensus:
    """Count the sagas of the log. `newest`: how many of the newest ones to list; None: all."""
    sagas: Counter[VersionKey] = Counter()
    open_sagas: dict[str, VersionKey] = {}
    listed: deque[tuple[str, VersionKey]] = deque(maxlen=newest)
    after, head = 0, context.backend.head().position
    while rows := context.backend.read(after, limit=_ROWS_PER_READ, upto=head, topics=_TOPICS):
        for row in rows:
            started = _started(context, row)
            if started is not None:
                sagas[started] += 1
                open_sagas[row.stream_id] = started
                listed.append((row.stream_id, started))
            elif _is_end(context, row):
                open_sagas.pop(row.stream_id, None)
        after = rows[-1].position
        if report is not None:
            report(after, head)
    return SagaCensus(sagas, Counter(open_sagas.values()), list(reversed(listed)))


def _started(context: LedgerContext, row: StoredRow) -> VersionKey | None:
    """Return the definition and the version of the saga that an event starts; None if it starts none."""
    if row.topic != SagaStarted.schema.name:
        return None
    try:
        event = context.codec.decode(row).event
    except UnreadableEvent:  # its type is listed as one that the app cannot read, or `verify` names it
        return None
    return (event.definition, event.definition_version) if isinstance(event, SagaStarted) else None


def _is_end(context: LedgerContext, row: StoredRow) -> bool:
    if row.topic != InterventionResolved.schema.name:
        return True
    try:
        event = context.codec.decode(row).event
    except UnreadableEvent:
        return False
    return isinstance(event, InterventionResolved) and event.action is Action.ABANDON
