"""Any question in SQL: of the views as they are, or as the events up to a position make them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import CursorResult

from ...domain.errors import InvalidInput
from ...projections.projection import Row
from ..ledger.context import LedgerContext
from ..ledger.moment import Moment, position_of
from ..ledger.view_operations import declared_projection
from ..read_models.scratch_view import ScratchViews
from ..runtime.progress import ReportProgress

_STORED_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00")
"""How SQLite has a time of a view."""


class SqlAnswer(NamedTuple):
    """The rows of an answer, one after another, and how far the views had come that its SQL names."""

    columns: tuple[str, ...]
    positions: dict[str, int]
    rows: Iterator[Row]


@contextmanager
def ask_sql(context: LedgerContext, statement: str, *, limit: int) -> Iterator[SqlAnswer]:
    """Run one SELECT on the ledger's database, in a snapshot; the view names are those that SQL reads.

    Raises `InvalidInput` for SQL that the database does not answer, and for an answer with two columns of one name.
    """
    positions = {each.view: each.position for each in context.queries.checkpoints() if _names(statement, each.view)}
    with context.backend.views.asking(statement, limit) as found:
        yield SqlAnswer(_columns(found), positions, _rows(found))


@contextmanager
def ask_sql_at(
    context: LedgerContext, statement: str, at: Moment, *, limit: int, report: ReportProgress | None = None
) -> Iterator[SqlAnswer]:
    """Run one SELECT, in SQLite's dialect, on the views that it names, folded from the events up to a moment.

    Raises as `ask_sql` does, `AppPartMissing` for a view that the app in use does not declare, and `InvalidInput` for
    what is no moment of the log.
    """
    position = position_of(context, at)
    named = [each.view for each in context.queries.checkpoints() if _names(statement, each.view)]
    projections = [declared_projection(context, view) for view in dict.fromkeys(named)]
    with ScratchViews(context.backend, context.codec, projections) as views:
        if projections:
            views.fold_to(position, report)
        with views.asking(statement, limit) as found:
            yield SqlAnswer(_columns(found), dict.fromkeys(named, position), _rows(found))


def _names(statement: str, view: str) -> bool:
    return re.search(rf"\b{re.escape(view)}\b", statement, re.IGNORECASE) is not None


def _columns(found: CursorResult[Any]) -> tuple[str, ...]:
    columns = tuple(found.keys())
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(f"two columns of the answer are named {twice!r}: give one another name with AS")
    return columns


def _rows(found: CursorResult[Any]) -> Iterator[Row]:
    for row in found.mappings():
        yield {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    """Return a value that both databases have: SQLite keeps times as text, and sums of PostgreSQL are decimals."""
    if isinstance(value, str) and _STORED_TIME.fullmatch(value):
        return datetime.fromisoformat(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
