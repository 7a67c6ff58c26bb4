"""What changed in views between two positions of the log: rows that were added, changed or removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct
from sqlalchemy import Column, ColumnElement, Connection, Table, and_, func, literal_column, not_, or_, select

from ...projections.projection import Projection, Row
from ..event_store.codec import Codec
from ..event_store.event_log import EventLog
from ..runtime.progress import ReportProgress
from .filter import visible_columns
from .readable import each_row
from .scratch_view import ScratchViews

_BLANK: Final[ColumnElement[Any]] = literal_column("''")
_BEFORE: Final = "before "
"""Stands before the name of a column of the row as it was."""


class RowPair(NamedTuple):
    """A row of a view at two positions."""

    before: Row | None
    after: Row | None


class RowChange(Struct, frozen=True):
    """A row of a view that was added, changed or removed."""

    key: Row
    before: Row | None
    """The row as it was, of a changed row the columns that changed; None if it was added."""
    after: Row | None
    """The row as it is then, of a changed row the columns that changed; None if it was removed."""


class ViewChanges(Struct):
    """How the rows of one view changed; all are counted, and the first ones are listed."""

    view: str
    added: int = 0
    changed: int = 0
    removed: int = 0
    rows: list[RowChange] = []
    """The first rows that changed, in the order of the key; those that were removed come last."""

    @property
    def count(self) -> int:
        """How many rows changed in any way."""
        return self.added + self.changed + self.removed

    def add(self, pair: RowPair, key: Sequence[str], rows_max: int) -> None:
        """Count a row, and list it if the list is not full."""
        if self.count < rows_max:
            self.rows.append(_row_change(pair, key))
        self.added += pair.before is None
        self.removed += pair.after is None
        self.changed += pair.before is not None and pair.after is not None


def view_changes(
    log: EventLog,
    codec: Codec,
    projections: Sequence[Projection],
    since: int,
    until: int,
    *,
    rows_max: int,
    each: Callable[[str, RowPair], None],
    progress: ReportProgress | None = None,
) -> list[ViewChanges]:
    """Fold views up to two positions, and compare their rows; `each` is called with every row that changed.

    Columns that a view needs for its own folding are left out, and a column that was and is empty has not changed.
    Raises `PoisonEvent` for an event that cannot be folded.
    """
    found = []
    with ScratchViews(log, codec, projections) as scratch:
        scratch.fold_to(since, progress)
        kept = scratch.keep_rows()
        scratch.fold_to(until, progress)
        with scratch.reading() as connection:
            for projection in projections:
                changes = ViewChanges(projection.name, rows=[])
                for pair in _changed_rows(connection, kept[projection.name], scratch.table(projection.name).table):
                    changes.add(pair, projection.key_columns, rows_max)
                    each(projection.name, pair)
                found.append(changes)
    return found


def _changed_rows(connection: Connection, before: Table, after: Table) -> Iterator[RowPair]:
    columns = list(visible_columns(after))
    key = [column.name for column in after.primary_key.columns]
    of_one_row = and_(*(before.c[name] == after.c[name] for name in key))
    was = [before.c[name].label(f"{_BEFORE}{name}") for name in columns]
    differs = or_(before.c[key[0]].is_(None), *(_differs(before.c[name], after.c[name]) for name in columns))
    both = select(*(after.c[name] for name in columns), *was).select_from(after.outerjoin(before, of_one_row))
    for row in each_row(connection, both.where(differs).order_by(*after.primary_key.columns), after.name):
        old = {name: row.pop(f"{_BEFORE}{name}") for name in columns}
        yield RowPair(None if old[key[0]] is None else old, row)
    gone = select(*(before.c[name] for name in columns)).select_from(before.outerjoin(after, of_one_row))
    gone = gone.where(after.c[key[0]].is_(None)).order_by(*before.primary_key.columns)
    for row in each_row(connection, gone, after.name):
        yield RowPair(row, None)


def _row_change(pair: RowPair, key: Sequence[str]) -> RowChange:
    before, after = pair
    of_row = {name: (before or after or {})[name] for name in key}
    if before is None or after is None:
        return RowChange(of_row, before, after)
    changed = [name for name, old in before.items() if old != after[name] and not _is_blank(old, after[name])]
    return RowChange(of_row, {name: before[name] for name in changed}, {name: after[name] for name in changed})


def _differs(before: Column[Any], after: Column[Any]) -> ColumnElement[bool]:
    blank = [func.coalesce(column, _BLANK) == _BLANK for column in (before, after)]
    return and_(after.is_distinct_from(before), not_(and_(*blank)))


def _is_blank(*values: Any) -> bool:
    return all(value is None or value == "" for value in values)
