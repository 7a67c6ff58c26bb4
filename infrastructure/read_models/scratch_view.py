"""Scratch views: views in a private SQLite database that exists only while it is used.

Time travel and the comparison of a view with its events fold a view there once more. A query of a view that the
ledger's database does not have yet finds an empty table there. The ledger's own database is only read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, CursorResult, Table, insert, select
from sqlalchemy.schema import CreateTable

from ...projections.poison_event import PoisonEvent, describe
from ...projections.projection import Change, Projection
from ..event_store.codec import Codec
from ..event_store.event_log import EventLog
from ..event_store.sqlite.view_store import SqliteViewStore
from ..event_store.view_store import is_unavailability
from ..runtime.progress import ReportProgress
from .apply_batch import View, fold
from .event_batch import EventBatch, EventBatchReader
from .row_store import RowStore
from .tables import create, generation_table


class ScratchViews:
    """Some views, folded privately from the first event on, each batch of the log once; a context manager."""

    def __init__(self, log: EventLog, codec: Codec, projections: Sequence[Projection]) -> None:
        topics = frozenset[str]().union(*(projection.topics for projection in projections))
        self._reader = EventBatchReader(log, codec, topics)
        self._store = _private_store()
        self._views = {p.name: View(p, RowStore(generation_table(p, 1), self._store.dialect)) for p in projections}
        with self._store.writing() as connection:
            for view in self._views.values():
                create(connection, view.table.table)
        self.position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.close()

    def table(self, view: str) -> RowStore:
        """Return the table of a view."""
        return self._views[view].table

    def fold_to(self, position: int, progress: ReportProgress | None = None) -> None:
        """Fold on, up to a position of the log. Raises `PoisonEvent` at an event that cannot be folded.

        Raises `DamagedLedger` if the log has not all of these events.
        """
        while self.position < position:
            batch = self._reader.read(self.position, position)
            with self._store.writing() as connection:
                for view in self._views.values():
                    folded = fold(connection, view, batch)
                    if folded.poison is not None:
                        raise folded.poison
                    _write(connection, view, folded.change, batch)
            self.position = batch.upto
            if progress is not None:
                progress(self.position, position)

    def keep_rows(self) -> dict[str, Table]:
        """Copy each view as it is now, before it is folded on; returns the tables of the copies, by view."""
        copies = {}
        with self._store.writing() as connection:
            for name, view in self._views.items():
                copies[name] = generation_table(view.projection, 2, name=f"{name}__kept")
                create(connection, copies[name])
                connection.execute(insert(copies[name]).from_select(view.table.columns, select(view.table.table)))
        return copies

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a snapshot of the views."""
        return self._store.reading()

    def asking(self, statement: str, limit: int) -> AbstractContextManager[CursorResult[Any]]:
        """Answer one SELECT on the views, in SQLite's dialect."""
        return self._store.asking(statement, limit)


def _write(connection: Connection, view: View, change: Change, batch: EventBatch) -> None:
    """Write the rows of a batch. Raises `PoisonEvent` if they cannot be written: the view is of no use then."""
    try:
        view.table.write(connection, change)
    except Exception as error:
        if is_unavailability(error):
            raise
        events = f"or one of the {batch.upto - batch.after:,} events up to it"
        raise PoisonEvent(view.projection.name, batch.upto, events, describe(error)) from error


@contextmanager
def empty_tables(tables: Iterable[Table]) -> Iterator[Connection]:
    """Open a private database in which these tables exist and are empty."""
    store = _private_store()
    try:
        with store.writing() as connection:
            for table in tables:
                connection.execute(CreateTable(table))
        with store.reading() as connection:
            yield connection
    finally:
        store.close()


def _private_store() -> SqliteViewStore:
    return SqliteViewStore(_private_file, "a private database", connections_max=1)


def _private_file() -> sqlite3.Connection:
    """Open a database without a name: in memory while it is small, then in a file that vanishes with it."""
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    return connection
