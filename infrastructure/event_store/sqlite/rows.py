"""Events read from SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...errors import DamagedLedger
from ..event_log import HEAD_MISSING
from ..event_row import StoredRow
from ..instants import instant
from .database import SQL


def read_head(connection: sqlite3.Connection) -> tuple[int, bytes, int | None]:
    """Return the head's row: position, hash, time. Raises `DamagedLedger` if it is missing."""
    row: tuple[int, bytes, int | None] | None = connection.execute(SQL["head"]).fetchone()
    if row is None:
        raise DamagedLedger(HEAD_MISSING)
    return row


def stored_rows(found: Iterable[Any]) -> list[StoredRow]:
    """Return rows of `events` as the port has them."""
    return [StoredRow._make((*row[:9], instant(row[9]), row[10])) for row in found]


def read_rows(connection: sqlite3.Connection, statement: str, wanted: Mapping[str, Any]) -> list[StoredRow]:
    """Return the events that a statement selects. Raises `DamagedLedger` for one that cannot be read."""
    return stored_rows(fetch(connection, statement, wanted))


def fetch(
    connection: sqlite3.Connection, statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()
) -> list[Any]:
    """Return the rows of a statement that only reads.

    If an edit has put bytes into a text column that are not UTF-8, they are read all the same, with surrogates in
    place of these bytes: `verify` then reports the row.
    """
    try:
        return connection.execute(statement, parameters).fetchall()
    except sqlite3.OperationalError as error:
        if "decode" not in str(error):
            raise
        connection.text_factory = _tolerant
        try:
            return connection.execute(statement, parameters).fetchall()
        finally:
            connection.text_factory = str


def _tolerant(text: bytes) -> str:
    return text.decode(errors="surrogateescape")
