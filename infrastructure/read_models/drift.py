"""Drift: how the rows of a view differ from what its events make of it.

A view that is only ever folded has none. An edit by hand, or an error since mended in a handler, shows here, row by
row; a rebuild removes it.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from sqlalchemy import Connection, Table, select

from ...projections.projection import Key, Projection, Row
from ..event_store.backend import Backend
from ..event_store.codec import Codec
from ..runtime.progress import ReportProgress
from .queries import Queries
from .row_store import RowStore
from .scratch_view import ScratchView

CHUNK_ROWS = 1_000
DIFFERENCES_MAX = 100
"""The most differences that are listed; all are counted."""


class Difference(Struct, frozen=True):
    """A row that is not what its events make of it."""

    key: Row
    live: Row | None
    """As the view has it; None: it has no such row."""
    rebuilt: Row | None
    """As the events make it; None: they make no such row."""


class Drift(Struct, frozen=True):
    """A view compared with its events at one position."""

    view: str
    position: int
    rows: int
    """How many rows the view has."""
    count: int
    """How many rows differ."""
    differences: list[Difference]
    """The first of them."""


def drift(
    queries: Queries,
    backend: Backend,
    codec: Codec,
    view: str,
    *,
    differences_max: int = DIFFERENCES_MAX,
    progress: ReportProgress | None = None,
) -> Drift:
    """Compare a view with a shadow of it, at the same position, while the view goes on.

    Most of the shadow is folded beforehand, so that the snapshot of the view is held only while it is compared.
    Raises `InvalidInput` for an unknown view, `PoisonEvent` for an event that cannot be folded, `Unavailable`.
    """
    projection = queries.projection(view)
    with ScratchView(backend, codec, projection) as shadow:
        shadow.fold_to(queries.standing(projection).position, progress)
        with queries.snapshot(projection) as (connection, standing):
            shadow.fold_to(standing.position, progress)
            rows = 0
            found: list[Difference] = []
            count = 0
            for difference in _compare(connection, projection, shadow):
                if difference is None:
                    rows += 1
                    continue
                rows += difference.live is not None
                count += 1
                if count <= differences_max:
                    found.append(difference)
    return Drift(view, shadow.position, rows, count, found)


def _compare(connection: Connection, projection: Projection, shadow: ScratchView) -> Iterator[Difference | None]:
    """Each row of either side: None where both agree."""
    live = RowStore(projection.table, connection.dialect)
    for chunk in _rows(connection, projection.table):
        rebuilt = shadow.table.load(shadow.connection, chunk)
        for key, row in chunk.items():
            yield None if rebuilt.get(key) == row else _difference(projection, key, row, rebuilt.get(key))
    for chunk in _rows(shadow.connection, shadow.table.table):
        there = live.load(connection, chunk)
        for key, row in chunk.items():
            if key not in there:
                yield _difference(projection, key, None, row)


def _difference(projection: Projection, key: Key, live: Row | None, rebuilt: Row | None) -> Difference:
    return Difference(dict(zip(projection.key_columns, key, strict=True)), live, rebuilt)


def _rows(connection: Connection, table: Table) -> Iterator[dict[Key, Row]]:
    """Every row of a table, a chunk at a time."""
    ordered = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=CHUNK_ROWS)
    key_columns = [column.name for column in table.primary_key.columns]
    for partition in connection.execute(ordered).mappings().partitions():
        rows = [dict(row) for row in partition]
        yield {tuple(row[name] for name in key_columns): row for row in rows}
