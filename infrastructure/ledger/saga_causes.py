"""What led to what in a saga: its events, and which event caused which."""

from __future__ import annotations

from typing import NamedTuple

from .context import LedgerContext
from .saga_history import HistoryEntry, read_history


class CauseEdge(NamedTuple):
    """One event led to another."""

    cause: int
    """The position of the event that led to the other."""
    effect: int


class SagaCauses(NamedTuple):
    """A saga's events as a graph. Edges go from earlier positions to later ones, so it has no circle."""

    entries: list[HistoryEntry]
    edges: list[CauseEdge]


def saga_causes(context: LedgerContext, saga_id: str) -> SagaCauses:
    """Return the events of a saga, its participants and its sub-sagas, and what led to each. Raises `SagaNotFound`.

    An event without a recorded cause began something: a start, or what a person or another program asked for.
    """
    entries = read_history(context, saga_id).entries
    known = {entry.position for entry in entries}
    edges = [
        CauseEdge(entry.causation_position, entry.position)
        for entry in entries
        if entry.causation_position in known and entry.causation_position != entry.position
    ]
    return SagaCauses(entries, edges)
