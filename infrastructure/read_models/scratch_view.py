"""Scratch views: views in a private SQLite database that exists only while it is used.

Time travel and the comparison of a view with its events fold a view there once more. A query of a view that the
ledger's database does not have yet finds an empty table there. The ledger's own database is only read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Table
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


class ScratchView:
    """A view, folded privately from the first event on; a context manager.

    `store`: a private database that other views are in, too; the caller closes it.
    """

    def __init__(
        self, log: EventLog, codec: Codec, projection: Projection, store: SqliteViewStore | None = None
    ) -> None:
        self._reader = EventBatchReader(log, codec, projection.topics)
        self._projection = projection
        self._is_alone = store is None
        self._store = private_store() if store is None else store
        table = generation_table(projection, 1)
        with self._store.writing() as connection:
            create(connection, table)
        self.table = RowStore(table, self._store.dialect)
        self.position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_alone:
            self._store.close()

    def fold_to(self, position: int, progress: ReportProgress | None = None) -> None:
        """Fold on, up to a position of the log. Raises `PoisonEvent` at an event that cannot be folded.

        Raises `DamagedLedger` if the log has not all of these events.
        """
        view = View(self._projection, self.table)
        while self.position < position:
            batch = self._reader.read(self.position, position)
            with self._store.writing() as connection:
                folded = fold(connection, view, batch)
                if folded.poison is not None:
                    raise folded.poison
                self._write(connection, folded.change, batch)
            self.position = batch.upto
            if progress is not None:
                progress(self.position, position)

    def _write(self, connection: Connection, change: Change, batch: EventBatch) -> None:
        """Write the rows of a batch. Raises `PoisonEvent` if they cannot be written: the view is of no use then."""
        try:
            self.table.write(connection, change)
        except Exception as error:
            if is_unavailability(error):
                raise
            events = f"or one of the {batch.upto - batch.after:,} events up to it"
            raise PoisonEvent(self._projection.name, batch.upto, events, describe(error)) from error

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a snapshot of the view."""
        return self._store.reading()


@contextmanager
def empty_tables(tables: Iterable[Table]) -> Iterator[Connection]:
    """Open a private database in which these tables exist and are empty."""
    store = private_store()
    try:
        with store.writing() as connection:
            for table in tables:
                connection.execute(CreateTable(table))
        with store.reading() as connection:
            yield connection
    finally:
        store.close()


def private_store() -> SqliteViewStore:
    """Open a private database that vanishes when it is closed."""
    return SqliteViewStore(_private_file, "a private database", connections_max=1)


def _private_file() -> sqlite3.Connection:
    """Open a database without a name: in memory while it is small, then in a file that vanishes with it."""
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    return connection
