"""Reads views as they were at a position."""

from __future__ import annotations

from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.read_models.filter import Filter
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.read_models.time_travel import past_rows
from sagaledger.projections.projection import Row


def rows_at(queries: Queries, log: Backend, codec: Codec, view: str, position: int) -> list[Row]:
    """The first hundred rows of a view at a position of the log."""
    with past_rows(log, codec, queries.projection(view), position, Filter()) as rows:
        return list(rows)
