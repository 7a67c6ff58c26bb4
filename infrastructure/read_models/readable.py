"""What it means when rows of a view, or of its checkpoints, cannot be read: an edit put in a value of another kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import ValidationError
from sqlalchemy import Connection, Select
from sqlalchemy.exc import StatementError

from ...projections.projection import Row
from ..errors import DamagedLedger
from ..event_store.view_store import first_line, is_unavailability

ROWS_AT_ONCE = 1_000
"""How many rows a reader that streams fetches at once."""


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Translate the errors of reading stored values: malformed JSON, a time of infinity, text in a column of numbers.

    Raises `DamagedLedger`, which names `what` is read. An error that means that the database cannot be used is left.
    """
    try:
        yield
    except (StatementError, ValidationError, ValueError, TypeError, OverflowError) as error:
        if is_unavailability(error):
            raise
        raise DamagedLedger(f"{what} cannot be read: {first_line(error)}") from error


def each_row(connection: Connection, statement: Select[Any], view: str) -> Iterator[Row]:
    """Yield the rows of a statement, of which few are in memory at once. Raises `DamagedLedger`."""
    with readable(f"view {view}"):
        found = connection.execute(statement.execution_options(yield_per=ROWS_AT_ONCE))
        names, parts = tuple(found.keys()), found.partitions()
    while True:
        with readable(f"view {view}"):
            part = next(parts, None)
        if part is None:
            return
        yield from (dict(zip(names, row, strict=True)) for row in part)
