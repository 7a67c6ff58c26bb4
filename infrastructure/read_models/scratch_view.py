"""A shadow: a view folded once more, in a private SQLite database that nobody else sees and that ends with it.

It serves to say what a view said in the past, and to prove that a view is what its events make of it; the ledger's
own database is only read.
"""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Self

from sqlalchemy import StaticPool, create_engine

from ...domain.errors import InvalidInput
from ...projections.projection import Projection, Row
from ..event_store.codec import Codec
from ..event_store.event_log import EventLog
from ..runtime.progress import ReportProgress
from .apply_batch import View, fold
from .event_batch import EventBatchReader
from .filter import Filter, statement
from .row_store import RowStore
from .tables import create, generation_table


class ScratchView:
    """A view, folded privately from the first event on; a context manager."""

    def __init__(self, log: EventLog, codec: Codec, projection: Projection) -> None:
        self._reader = EventBatchReader(log, codec, projection.topics)
        self._projection = projection
        self._engine = create_engine("sqlite://", creator=_private_file, poolclass=StaticPool)
        self.connection = self._engine.connect()
        table = generation_table(projection, 1)
        create(self.connection, table)
        self.table = RowStore(table, self._engine.dialect)
        self.position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()
        self._engine.dispose()

    def fold_to(self, position: int, progress: ReportProgress | None = None) -> None:
        """Fold on, up to a position that the log has. Raises `PoisonEvent` at an event that cannot be folded."""
        view = View(self._projection, self.table)
        while self.position < position:
            batch = self._reader.read(self.position, position)
            if batch.upto == self.position:
                raise InvalidInput(f"the log ends at position {batch.upto}, before {position}")
            folded = fold(self.connection, view, batch)
            if folded.poison is not None:
                raise folded.poison
            self.table.write(self.connection, folded.change)
            self.connection.commit()
            self.position = batch.upto
            if progress is not None:
                progress(self.position, position)

    def answer(self, question: Filter) -> list[Row]:
        """The rows that a question asks for."""
        found = self.connection.execute(statement(self.table.table, question))
        return [dict(row) for row in found.mappings()]


def _private_file() -> sqlite3.Connection:
    """A database without a name: in memory while it is small, in a file that vanishes with it when it is not."""
    connection = sqlite3.connect("", check_same_thread=False)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    return connection
