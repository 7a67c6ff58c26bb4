"""What it means when rows of a view, or of its checkpoints, cannot be read: an edit put in a value of another kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import ValidationError
from sqlalchemy.exc import StatementError

from ..errors import DamagedLedger
from ..event_store.view_store import first_line, is_unavailability


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
