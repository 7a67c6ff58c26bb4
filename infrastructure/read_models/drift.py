"""Drift: how the rows of a view differ from what its events make of them.

A view that was only ever folded has none. An edit by hand, or a mistake in a handler that has been corrected since,
shows here row by row; a rebuild removes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Table, select

from ...projections.column_values import storable_text
from ...projections.keys import Key
from ...projections.projection import Projection, Row
from ..event_store.backend import Backend
from ..event_store.codec import Codec
from ..runtime.progress import ReportProgress
from .queries import Queries
from .readable import readable
from .row_store import RowStore
from .scratch_view import ScratchViews

CHUNK_ROWS = 1_000
DIFFERENCES_MAX = 100
"""The most differences that are listed; all of them are counted."""


class Difference(Struct, frozen=True):
    """A row that is not what its events make of it."""

    key: Row
    live: Row | None
    """The row of the view; None if the view has no such row."""
    rebuilt: Row | None
    """The row that the events make; None if they make no such row."""


class Drift(Struct, frozen=True):
    """The comparison of a view with its events at one position."""

    view: str
    position: int
    rows: int
    """How many rows the view has."""
    count: int
    """How many rows differ."""
    differences: list[Difference]
    """The first rows that differ."""


def drift(
    queries: Queries,
    backend: Backend,
    codec: Codec,
    view: str,
    *,
    differences_max: int = DIFFERENCES_MAX,
    progress: ReportProgress | None = None,
) -> Drift:
    """Compare a view with a scratch view at the same position, while the view goes on.

    Most of the log is folded before the snapshot of the view is opened, so that the snapshot stays short.
    Raises `InvalidInput` for an unknown view, `WrongState` for one of another version, `PoisonEvent` for an event that
    cannot be folded, and `Unavailable`.
    """
    projection = queries.projection(view)
    with ScratchViews(backend, codec, [projection]) as scratch:
        scratch.fold_to(queries.checkpoint(view).position, progress)
        with queries.snapshot(projection) as (live, checkpoint):
            scratch.fold_to(checkpoint.position, progress)
            rows = count = 0
            listed: list[Difference] = []
            with scratch.reading() as rebuilt:
                for difference in _compare(projection, live, rebuilt, scratch.table(view)):
                    rows += difference is None or difference.live is not None
                    if difference is not None:
                        count += 1
                        if count <= differences_max:
                            listed.append(difference)
    return Drift(view, scratch.position, rows, count, listed)


def _compare(
    projection: Projection, live: Connection, rebuilt: Connection, rebuilt_table: RowStore
) -> Iterator[Difference | None]:
    """Compare each row of either side; None stands for a row that both have."""
    live_table = RowStore(projection.table, live.dialect)
    for chunk in _chunks(live, projection.table):
        found = rebuilt_table.load(rebuilt, chunk)
        for key, row in chunk.items():
            yield None if found.get(key) == row else _difference(projection, key, row, found.get(key))
    for chunk in _chunks(rebuilt, rebuilt_table.table):
        found = live_table.load(live, chunk)
        for key, row in chunk.items():
            if key not in found:
                yield _difference(projection, key, None, row)


def _difference(projection: Projection, key: Key, live: Row | None, rebuilt: Row | None) -> Difference:
    return Difference(dict(zip(projection.key_columns, key, strict=True)), live, rebuilt)


def _storable(value: Any) -> Any:
    """Return a value as it is stored today: version 0.1 stored text on SQLite without the escapes."""
    return storable_text(value) if isinstance(value, str) else value


def _chunks(connection: Connection, table: Table) -> Iterator[dict[Key, Row]]:
    """Read every row of a table, a chunk at a time."""
    ordered = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=CHUNK_ROWS)
    key_columns = [column.name for column in table.primary_key.columns]
    with readable(f"view {table.name}"):
        partitions = connection.execute(ordered).mappings().partitions()
    while True:
        with readable(f"view {table.name}"):
            rows = [{name: _storable(value) for name, value in row.items()} for row in next(partitions, ())]
        if not rows:
            return
        yield {tuple(row[name] for name in key_columns): row for row in rows}
