"""Rows of a view on a screen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from .screen import Line
from .screen_table import table_lines
from .table import Table

_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def rows_on_screen(table: Table, width: int) -> Iterator[Line]:
    """Yield the lines of a table of rows as they are in JSON, with their times as times."""
    yield from table_lines(
        table._replace(rows=[[read_recorded(value) or value for value in row] for row in table.rows]), width
    )


def read_recorded(value: Any) -> datetime | None:
    """Return the time that a text is, as JSON has it, or SQLite where no app declares a view; None for other values."""
    if not isinstance(value, str) or _INSTANT.fullmatch(value) is None:
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:  # such as the 31st of February
        return None
