"""What changed in a saga between two moments: the events in between, and each field that they changed."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...domain.saga.state import SagaState
from . import state_reader
from .context import LedgerContext
from .documents import state_document
from .moment import AnyMoment
from .saga_history import HistoryEntry, read_history
from .state_fields import changed_fields


class SagaDiff(NamedTuple):
    """Two states of a saga, and what lies between them."""

    before: SagaState
    after: SagaState
    recorded: list[HistoryEntry]
    """All of the saga's own events."""
    between: list[HistoryEntry]
    """Those between the two."""
    changes: list[dict[str, Any]]
    """`field`, `before`, `after` of each field that differs."""


def diff_saga(context: LedgerContext, saga_id: str, a: AnyMoment, b: AnyMoment | None = None) -> SagaDiff:
    """Compare a saga at two moments; without `b`, with what it is now. Raises what `state_at` raises."""
    before = state_reader.state_at(context, saga_id, a)
    after = state_reader.state_now(context, saga_id) if b is None else state_reader.state_at(context, saga_id, b)
    low, high = sorted((before.version, after.version))
    recorded = read_history(context, saga_id, participants=False).entries
    between = [entry for entry in recorded if low < entry.version <= high]
    return SagaDiff(before, after, recorded, between, changed_fields(state_document(before), state_document(after)))
