"""Events read from SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from ..event_row import StoredRow
from ..instants import instant


def stored_rows(found: Iterable[Any]) -> list[StoredRow]:
    """Return rows of `events` as the port has them."""
    return [StoredRow._make((*row[:9], instant(row[9]), row[10])) for row in found]


def read_rows(connection: sqlite3.Connection, statement: str, wanted: Mapping[str, Any]) -> list[StoredRow]:
    """Return the events that a statement selects.

    If an edit has put bytes into a text column that are not UTF-8, they are read all the same, with surrogates in
    place of these bytes: `verify` then reports the position.
    """
    try:
        return stored_rows(connection.execute(statement, wanted))
    except sqlite3.OperationalError as error:
        if "decode" not in str(error):
            raise
        connection.text_factory = _tolerant
        try:
            return stored_rows(connection.execute(statement, wanted))
        finally:
            connection.text_factory = str


def _tolerant(text: bytes) -> str:
    return text.decode(errors="surrogateescape")
