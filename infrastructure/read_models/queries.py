"""Queries of views: rows, the position that they belong to, and how far that is behind the log.

A query writes nothing and creates nothing. A declared view that the database does not have yet is an empty view at
position 0. A view that the database has and no app declares is read by the columns of its table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from time import monotonic, sleep
from typing import Any, TypedDict

from msgspec import Struct
from sqlalchemy import Connection, Select, Table
from sqlalchemy.exc import NoSuchTableError

from ...domain.errors import InvalidInput
from ...projections.projection import Projection, Row
from ...projections.saga.saga_attributes import VIEW as ATTRIBUTES
from ..errors import DamagedLedger, TimedOut, WrongState
from ..event_store.backend import Backend
from ..event_store.instants import checked_in_utc, checked_timeout
from . import checkpoints
from .checkpoints import ABSENT, BUILDING, Checkpoint, absent
from .condition import Where
from .filter import Filter, order_columns, select_rows, visible_columns
from .readable import each_row, readable
from .recorded_views import reflect
from .snapshots import Snapshots, without_table

POLL_SECONDS_MIN = 0.002
POLL_SECONDS_MAX = 0.05
"""How long a query that waits for a position pauses between two looks; the pauses grow from the one to the other."""


class QueryResult(Struct, frozen=True):
    """Rows of a view as they were when it had folded the log up to `as_of_position`, and not an event more."""

    view: str
    as_of_position: int
    head_position: int
    lag_events: int
    lag_seconds: float
    """How long the first event that the view has not folded has been in the log; 0 if there is none."""
    rows: list[Row]


class Asked(TypedDict, total=False):
    """What `Queries.query` can be asked besides the view: the parts of a `Filter`, and what to wait for."""

    where: Where | None
    attributes: Where | None
    order: Sequence[str]
    limit: int
    after: Row | None
    wait_for: int | None
    timeout_seconds: float


class Queries:
    """Answers queries of one ledger's views, from any thread."""

    def __init__(self, backend: Backend, projections: Sequence[Projection]) -> None:
        self._backend = backend
        self._projections = {projection.name: projection for projection in projections}
        self._snapshots = Snapshots(backend, self._projections)

    def projection(self, view: str) -> Projection:
        """Return the projection of a view. Raises `InvalidInput` for a view that no loaded app declares."""
        try:
            return self._projections[view]
        except KeyError:
            raise InvalidInput(
                f"there is no view {view!r} that a loaded app declares: declared are "
                f"{', '.join(sorted(self._projections))} (--app MODULE:OBJECT brings another app)"
            ) from None

    def columns(self, view: str) -> tuple[str, ...]:
        """Return the columns of a view that queries show. Raises `InvalidInput` for an unknown view."""
        table, _ = self._table_and_version(view)
        return tuple(visible_columns(table))

    def order_columns(self, view: str, order: Sequence[str]) -> tuple[str, ...]:
        """Return the columns that `after` must have of a row in this order. Raises `InvalidInput`."""
        table, _ = self._table_and_version(view)
        return order_columns(table, order)

    def query(
        self,
        view: str,
        *,
        where: Where | None = None,
        attributes: Where | None = None,
        order: Sequence[str] = (),
        limit: int = 100,
        after: Row | None = None,
        wait_for: int | None = None,
        timeout_seconds: float = 10.0,
    ) -> QueryResult:
        """Read rows of a view (see `Filter`) and its position, in one snapshot.

        - `where`: conditions on columns: `{"status": "completed"}`, or `["total_minor>100", ("status", "in", [...])]`;
        - `attributes`: conditions on the search attributes of each row's saga, in the same form;
        - `wait_for`: a position that the rows must include, such as that of the caller's own append.

        Raises `InvalidInput` for a view, a column or a value that does not exist, `TimedOut` when the view does not
        reach the position in time, `WrongState` when it must be rebuilt first, `ProjectionChanged` when the app
        declares other columns than its table has, `DamagedLedger` for a row that cannot be read, and `Unavailable`.
        """
        filter_ = Filter(where, order, limit, after, attributes)
        with self._selected(view, filter_, wait_for, timeout_seconds) as (connection, checkpoint, statement):
            with readable(f"view {view}"):
                rows = [dict(row) for row in connection.execute(statement).mappings()]
            now = checkpoints.now(connection)
        return self._result(view, checkpoint, rows, now)

    @contextmanager
    def rows(
        self, view: str, filter_: Filter, *, wait_for: int | None = None, timeout_seconds: float = 10.0
    ) -> Iterator[tuple[Checkpoint, Iterator[Row]]]:
        """Open a snapshot of a view, and read any number of rows in it one after another.

        As long as it is open, a rebuild of the view waits. Raises as `query` does.
        """
        with self._selected(view, filter_, wait_for, timeout_seconds) as (connection, checkpoint, statement):
            yield checkpoint, each_row(connection, statement, view)

    @contextmanager
    def _selected(
        self, view: str, filter_: Filter, wait_for: int | None, timeout_seconds: float
    ) -> Iterator[tuple[Connection, Checkpoint, Select[Any]]]:
        """Wait for a position, if one is given, and open a snapshot. Yields the rows' statement, too."""
        table, version = self._table_and_version(view)
        statement = select_rows(table, filter_)
        wanted = self._wanted(view, version, bool(filter_.attributes))
        if wait_for is not None:
            self._wait_for(wanted, wait_for, timeout_seconds)
        with self._snapshots.open(wanted, table) as (connection, checkpoint):
            yield connection, checkpoint, statement

    def wait_for(self, view: str, position: int, timeout_seconds: float) -> None:
        """Block until a view has folded the log up to a position. Raises `TimedOut` and `InvalidInput`."""
        self._wait_for((view,), position, timeout_seconds)

    def _wait_for(self, views: Collection[str], position: int, timeout_seconds: float) -> None:
        deadline = monotonic() + checked_timeout(timeout_seconds, "timeout_seconds")
        pause_seconds = POLL_SECONDS_MIN
        while True:
            checkpoint = min((self.checkpoint(view) for view in views), key=lambda each: each.position)
            if checkpoint.position >= position:
                return
            if monotonic() >= deadline:
                raise behind(checkpoint, position, timeout_seconds)
            sleep(min(pause_seconds, max(deadline - monotonic(), 0.0)))
            pause_seconds = min(pause_seconds * 1.5, POLL_SECONDS_MAX)

    def checkpoint(self, view: str) -> Checkpoint:
        """Return how far a view has folded the log. Raises `InvalidInput` for an unknown view."""
        with self._backend.views.reading() as connection:
            return self._snapshots.checkpoint(connection, view)

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoint of every declared or recorded view, and of every rebuild that has begun, by name."""
        with self._backend.views.reading() as connection:
            recorded = self._snapshots.recorded(connection)
        current = {checkpoint.name for checkpoint in recorded if checkpoint.status != BUILDING}
        missing = [absent(p.name, p.version) for p in self._projections.values() if p.name not in current]
        return sorted(recorded + missing, key=lambda checkpoint: (checkpoint.name, checkpoint.generation))

    def seen(self) -> list[Checkpoint]:
        """Return, for each declared view, the generation that its queries read, or that is in their way."""
        with self._backend.views.reading() as connection:
            recorded = {each.name: each for each in self._snapshots.recorded(connection) if each.status != BUILDING}
        declared = self._projections.values()
        return [checkpoints.seen_by(recorded, p.name, p.version) or absent(p.name, p.version) for p in declared]

    @contextmanager
    def snapshot(
        self, projection: Projection, *, searched: bool = False, joined: Sequence[str] = ()
    ) -> Iterator[tuple[Connection, Checkpoint]]:
        """Open a snapshot of a declared view: a connection on which its table can be read, and its checkpoint.

        So can those of other declared views, if they are `joined`, and `saga_attributes`, if it is `searched`; the
        checkpoint is that of the view which is furthest behind. A select names the tables as they are declared, also
        where another version has the name of the view.
        If the view is absent, the connection leads to a private database with empty tables of the declared views.
        Raises `WrongState` if the view is of another version than the declared one, and `Unavailable`.
        """
        wanted = self._wanted(projection.name, projection.version, searched)
        wanted |= {name: self.projection(name).version for name in joined}
        with self._snapshots.open(wanted) as (connection, checkpoint):
            yield connection, checkpoint

    def position_at(self, view: str, instant: datetime) -> int:
        """Return the position that a view had reached at an instant, by its journal. Raises `InvalidInput`."""
        instant = checked_in_utc(instant, "at")
        with self._backend.views.reading() as connection:
            checkpoint = self._snapshots.checkpoint(connection, view)
            if checkpoint.status == ABSENT:
                return 0
            return checkpoints.position_at(connection, checkpoint, instant)

    def _table_and_version(self, view: str) -> tuple[Table, int]:
        """Return the table of a view, declared or else recorded, and the version that its rows must have."""
        projection = self._projections.get(view)
        if projection is not None:
            return projection.table, projection.version
        with self._backend.views.reading() as connection:
            version = self._snapshots.checkpoint(connection, view).version
            try:
                return reflect(connection, view), version
            except NoSuchTableError:
                raise WrongState(without_table(view)) from None

    def _wanted(self, view: str, version: int, searched: bool) -> dict[str, int]:
        return {view: version} | ({ATTRIBUTES: self._version_of_attributes()} if searched else {})

    def _version_of_attributes(self) -> int:
        """Return the version that the view of search attributes must have. Raises `InvalidInput` if there is none."""
        if ATTRIBUTES in self._projections:
            return self._projections[ATTRIBUTES].version
        with self._backend.views.reading() as connection:
            for checkpoint in self._snapshots.recorded(connection):
                if checkpoint.name == ATTRIBUTES and checkpoint.status != BUILDING:
                    return checkpoint.version
        raise InvalidInput(
            "no saga of this ledger has search attributes: declare them with Saga(search=…), and start a worker, or "
            "run `sagaledger init`, with the app that has the saga"
        )

    def _result(self, view: str, checkpoint: Checkpoint, rows: list[Row], now: datetime) -> QueryResult:
        position = checkpoint.position
        head = max(self._backend.head().position, position)
        lag_seconds = 0.0
        if head > position:
            behind = self._backend.read(position, limit=1)
            if not behind:
                raise DamagedLedger(f"the log has no event after position {position}, and its head is at {head}")
            lag_seconds = max((now - behind[0].recorded_at).total_seconds(), 0.0)
        return QueryResult(view, position, head, head - position, lag_seconds, rows)


def behind(checkpoint: Checkpoint, position: int, timeout_seconds: float) -> TimedOut:
    """Return the error of a view that did not reach a position in time, with the reason."""
    if checkpoint.status == ABSENT:
        reason = "no projector has created it yet"
    else:
        reason = f"it is {checkpoint.status}" + (f": {checkpoint.error}" if checkpoint.error else "")
    return TimedOut(
        f"view {checkpoint.view!r} is at position {checkpoint.position}, and did not reach {position} within "
        f"{timeout_seconds:g} seconds; {reason}"
    )
