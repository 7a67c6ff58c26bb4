"""Answers from views: rows, the position that they stand at, and how far that is behind the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from time import monotonic, sleep
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Engine, Table
from sqlalchemy.schema import DDL

from ...domain.errors import InvalidInput
from ...projections.projection import Projection, Row
from ..errors import TimedOut, WrongState
from ..event_store.backend import Backend
from ..event_store.view_store import create_engine_for, reading
from . import checkpoints as positions
from .checkpoints import Checkpoint
from .filter import Filter, statement
from .tables import install, outdated

POLL_SECONDS_MIN = 0.002
POLL_SECONDS_MAX = 0.05
"""How long a query that waits for a position pauses between two looks; each pause is longer than the one before."""


class QueryResult(Struct, frozen=True):
    """Rows of a view, as they were when it had folded the log up to `as_of_position`, and not an event more."""

    view: str
    as_of_position: int
    head_position: int
    lag_events: int
    lag_seconds: float
    """For how long the first event that it has not folded has been in the log; 0 if it has folded all."""
    rows: list[Row]


class Queries:
    """Answers questions to the views of one ledger."""

    def __init__(self, backend: Backend, projections: Sequence[Projection]) -> None:
        self._backend = backend
        self._projections = {projection.name: projection for projection in projections}
        self.engine: Engine = create_engine_for(backend.url)
        self._installed = False

    def close(self) -> None:
        """Release the database."""
        self.engine.dispose()

    def projection(self, view: str) -> Projection:
        """The projection of a view. Raises `InvalidInput`, with the views that there are."""
        try:
            return self._projections[view]
        except KeyError:
            known = ", ".join(sorted(self._projections))
            raise InvalidInput(f"there is no view {view!r}: there are {known}") from None

    def query(
        self,
        view: str,
        *,
        where: Mapping[str, Any] | None = None,
        order: Sequence[str] = (),
        limit: int = 100,
        after: Row | None = None,
        wait_for: int | None = None,
        timeout_seconds: float = 10.0,
    ) -> QueryResult:
        """Rows of a view (see `Filter`), read in one snapshot with its position.

        `wait_for`: a position that the answer must include, such as that of one's own append.

        Raises `InvalidInput` for a view, a column or a value that does not exist, `TimedOut` when the view did not
        reach the position in time, `WrongState` when it is to be rebuilt first, `Unavailable`.
        """
        projection = self.projection(view)
        rows = statement(projection.table, Filter(where or {}, order, limit, after))
        if wait_for is not None:
            self.wait_for(view, wait_for, timeout_seconds)
        with self.snapshot(projection) as (connection, standing):
            found = [dict(row) for row in connection.execute(rows).mappings()]
            now = positions.now(connection)
        return self._answer(standing, found, now)

    def wait_for(self, view: str, position: int, timeout_seconds: float) -> None:
        """Block until a view has folded the log up to a position. Raises `TimedOut`, saying where it stands."""
        projection = self.projection(view)
        deadline = monotonic() + timeout_seconds
        pause_seconds = POLL_SECONDS_MIN
        while True:
            standing = self.standing(projection)
            if standing.position >= position:
                return
            if monotonic() >= deadline:
                why = f"it is {standing.status}" + (f": {standing.error}" if standing.error else "")
                raise TimedOut(
                    f"view {view!r} stands at position {standing.position}, and did not reach {position} "
                    f"within {timeout_seconds:g} seconds; {why}"
                )
            sleep(min(pause_seconds, max(deadline - monotonic(), 0.0)))
            pause_seconds = min(pause_seconds * 1.5, POLL_SECONDS_MAX)

    def standing(self, projection: Projection) -> Checkpoint:
        """Where a view stands."""
        self._install()
        with reading(self.engine) as connection:
            return _current(connection, projection)

    def standings(self) -> list[Checkpoint]:
        """Where every view of the ledger stands, and every rebuild that has begun."""
        self._install()
        with reading(self.engine) as connection:
            return [s for s in positions.standings(connection) if s.name in self._projections]

    @contextmanager
    def snapshot(self, projection: Projection) -> Iterator[tuple[Connection, Checkpoint]]:
        """One moment of a view: its table, and where it stands. Raises `WrongState` if its table is outdated."""
        self._install()
        with reading(self.engine) as connection:
            hold(connection, projection.table)
            standing = _current(connection, projection)
            if standing.version != projection.version:
                raise WrongState(outdated(standing, projection))
            yield connection, standing

    def position_at(self, view: str, instant: datetime) -> int:
        """The position that a view had reached at an instant, by its journal."""
        projection = self.projection(view)
        self._install()
        with reading(self.engine) as connection:
            return positions.position_at(connection, projection.name, instant)

    def _answer(self, standing: Checkpoint, rows: list[Row], now: datetime) -> QueryResult:
        head = max(self._backend.head().position, standing.position)
        lag_seconds = 0.0
        if head > standing.position:
            waiting = self._backend.read(standing.position, limit=1)[0]
            lag_seconds = max((now - waiting.recorded_at).total_seconds(), 0.0)
        return QueryResult(standing.name, standing.position, head, head - standing.position, lag_seconds, rows)

    def _install(self) -> None:
        if not self._installed:
            install(self.engine, self._projections.values())
            self._installed = True


def hold(connection: Connection, table: Table) -> None:
    """Keep a rebuild from putting another table in the place of this one until the transaction ends.

    To be called first: PostgreSQL takes the snapshot with the statement after it, and so of the table that is held.
    SQLite's snapshot includes the schema.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(DDL("LOCK TABLE %(fullname)s IN ACCESS SHARE MODE").against(table))  # type: ignore[no-untyped-call]


def _current(connection: Connection, projection: Projection) -> Checkpoint:
    standing = positions.current(connection, projection.name)
    if standing is None:
        raise WrongState(f"view {projection.name!r} was removed from the database: reopen the ledger to make it again")
    return standing
