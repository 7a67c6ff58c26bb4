"""Snapshots of views: one moment of the tables that this process reads, whatever their names are at that moment.

A view's name belongs to one version of it. Where that is another version than the declared one, the table has another
name (see `generations`), and it may get it while this process runs. So the name is found in the snapshot itself, and a
select that names the view as it is declared reads that table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from sqlalchemy import CTE, Connection, MetaData, Select, Table, event, inspect, select, text
from sqlalchemy.exc import NoSuchTableError

from ...domain.errors import InvalidInput
from ...projections.projection import Projection
from ...projections.saga.saga_attributes import SAGA_ATTRIBUTES
from ..errors import DamagedLedger, PermanentlyUnavailable, Unavailable, WrongState
from ..event_store.backend import Backend
from . import checkpoints
from .checkpoints import ABSENT, Checkpoint, absent
from .declarations import compare_declarations
from .scratch_view import empty_tables
from .tables import version_mismatch

RENAMES_MAX: Final = 5
"""How often a view's table may be renamed between two looks before a query gives up."""


class Snapshots:
    """Opens snapshots of one ledger's views, from any thread."""

    def __init__(self, backend: Backend, projections: Mapping[str, Projection]) -> None:
        self._backend = backend
        self._projections = projections
        self._names: dict[str, str] = {}
        """The name that the table of each view's generation had when it was read last; the view's if it is not here."""
        self._ctes: dict[str, CTE] = {}
        self._checkpoints_exist = False
        """Whether the database has the table of checkpoints; once it has, it stays."""

    @contextmanager
    def open(self, wanted: Mapping[str, int], *tables: Table) -> Iterator[tuple[Connection, Checkpoint]]:
        """Open a snapshot of some views in these versions, and return the checkpoint of the one that is hindmost.

        `tables`: those of views that are not declared.
        If one of them is absent, the connection leads to a private database with empty tables of the declared views.
        Raises `WrongState` for a view of another version, `ProjectionChanged` where rows cannot be read because another
        table is declared under the version, and `Unavailable`.
        """
        for _ in range(RENAMES_MAX):
            names = {name: self._names.get(name, name) for name in wanted}
            opened = False
            try:
                with ExitStack() as stack:
                    connection, found = self._open(stack, wanted, names, tables)
                    if all(checkpoint.name == names[name] for name, checkpoint in found.items()):
                        if all(checkpoint.status != ABSENT for checkpoint in found.values()):
                            self._name_as_declared(connection, names)
                        opened = True
                        yield connection, min(found.values(), key=lambda checkpoint: checkpoint.position)
                        return
            except DamagedLedger:  # perhaps a column that the table never had
                compare_declarations(
                    self._backend.views, [self._projections[name] for name in wanted if name in self._projections]
                )
                raise
            except PermanentlyUnavailable:
                if opened:
                    raise
                with self._backend.views.reading() as connection:
                    found = {name: self.checkpoint(connection, name) for name in wanted}
                if all(checkpoint.name == names[name] for name, checkpoint in found.items()):
                    raise  # otherwise another version has the name, and its table is what may not be read
            self._names.update({name: checkpoint.name for name, checkpoint in found.items()})
        raise Unavailable(f"the tables of {', '.join(wanted)} were renamed again and again: retry")

    def _open(
        self, stack: ExitStack, wanted: Mapping[str, int], names: Mapping[str, str], tables: Iterable[Table]
    ) -> tuple[Connection, dict[str, Checkpoint]]:
        """Open a snapshot, and hold tables in it. Return the checkpoints of the views, whose tables may be others."""
        views = self._backend.views
        try:
            connection = stack.enter_context(views.reading())
            for name in names.values():
                views.hold(connection, Table(name, MetaData()))
            found = {view: self.checkpoint(connection, view) for view in wanted}
        except NoSuchTableError as error:
            stack.close()
            missing = next(view for view, name in names.items() if name == str(error))
            found = {missing: self._checkpoint_without_table(missing, str(error), wanted[missing])}
        if any(checkpoint.status == ABSENT for checkpoint in found.values()):
            stack.close()
            declared = [projection.table for projection in self._projections.values()]
            empty = {table.name: table for table in (SAGA_ATTRIBUTES, *tables, *declared)}
            connection = stack.enter_context(empty_tables(empty.values()))
        for view, checkpoint in found.items():
            if checkpoint.status != ABSENT and checkpoint.version != wanted[view]:
                raise WrongState(version_mismatch(checkpoint, wanted[view]))
        return connection, found

    def _name_as_declared(self, connection: Connection, names: Mapping[str, str]) -> None:
        """Let selects name views as they are declared, whatever the names of their tables are."""
        ctes = [self._named(view, name) for view, name in names.items() if view != name]
        if ctes:
            event.listen(connection, "before_execute", _with_ctes(ctes), retval=True)

    def _named(self, view: str, name: str) -> CTE:
        """Return a common table expression of a view's name, which stands for the table of another name."""
        cte = self._ctes.get(name)
        if cte is None:
            rows = select(text("*")).select_from(Table(name, MetaData()))
            cte = self._ctes[name] = rows.cte(view).prefix_with("NOT MATERIALIZED", dialect="postgresql")
        return cte

    def _checkpoint_without_table(self, view: str, name: str, version: int) -> Checkpoint:
        """Return the checkpoint of a view when there was no table of this name a moment ago."""
        with self._backend.views.reading() as connection:
            checkpoint = self.checkpoint(connection, view)
            if checkpoint.status != ABSENT:
                if checkpoint.name != name:
                    return checkpoint
                if not inspect(connection).has_table(name):
                    raise WrongState(without_table(view))
        return absent(view, version)

    def checkpoint(self, connection: Connection, view: str) -> Checkpoint:
        """Return the generation of a view that this process reads, or that is in its way. Raises `InvalidInput`."""
        projection = self._projections.get(view)
        recorded = None
        if self._has_checkpoints(connection):
            version = None if projection is None else projection.version
            recorded = checkpoints.read_seen(connection, view, version)
        if recorded is not None:
            return recorded
        if projection is None:
            known = {checkpoint.name for checkpoint in self.recorded(connection)}
            raise InvalidInput(_unknown(view, known | self._projections.keys()))
        return absent(view, projection.version)

    def recorded(self, connection: Connection) -> list[Checkpoint]:
        """Return the checkpoint of every generation that is on record."""
        return checkpoints.read_all(connection) if self._has_checkpoints(connection) else []

    def _has_checkpoints(self, connection: Connection) -> bool:
        self._checkpoints_exist = self._checkpoints_exist or checkpoints.exist(connection)
        return self._checkpoints_exist


def _with_ctes(ctes: Sequence[CTE]) -> Callable[..., Any]:
    """Return a listener that adds common table expressions to each select."""

    def add(_: Connection, clause: Any, multiparams: Any, params: Any, __: Any) -> Any:
        return (clause.add_cte(*ctes) if isinstance(clause, Select) else clause), multiparams, params

    return add


def _unknown(view: str, known: Any) -> str:
    return f"there is no view {view!r}: there are {', '.join(sorted(known))}"


def without_table(view: str) -> str:
    """Say that the table of a view is missing, and what to do."""
    return (
        f"view {view!r} is on record, but its table was dropped: run `sagaledger projections rebuild {view}` "
        "with the app that declares it"
    )
