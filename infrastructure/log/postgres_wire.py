"""Parameters as PostgreSQL's protocol has them in binary, made in one pass over each column.

psycopg adapts values of any type and arrays of any depth; a batch's flat columns of known types need neither. The
format is that of the server's `array_send`, `uuid_send`, `int8send`, `boolsend` and `timestamptz_send`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

TEXT: Final = 0
BINARY: Final = 1
Parameter = tuple[int, bytes | None]
"""A parameter as it is sent: its format, and its bytes; None is NULL."""

_BYTEA: Final = 17
_TEXT: Final = 25
_TIMESTAMPTZ: Final = 1184
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_head: Final = struct.Struct(">iiIii").pack
_empty: Final = struct.Struct(">iiI").pack
_length: Final = struct.Struct(">i").pack
_LENGTHS: Final = [_length(size) for size in range(4096)]
_NULL: Final = _length(-1)

int8: Final = struct.Struct(">q").pack
boolean: Final = struct.Struct(">?").pack


def texts(column: Sequence[str | None]) -> Parameter:
    """A `text[]`."""
    return _array(_TEXT, [None if value is None else value.encode() for value in column])


def byteas(column: Sequence[bytes]) -> Parameter:
    """A `bytea[]`."""
    return _array(_BYTEA, column)


def instants(column: Sequence[datetime | None]) -> Parameter:
    """A `timestamptz[]`."""
    return _array(_TIMESTAMPTZ, [None if at is None else int8((at - _EPOCH) // _MICROSECOND) for at in column])


def integers(column: Sequence[int | None]) -> Parameter:
    """An array of integers of any width, as a literal: the statement says of which."""
    literals = ["NULL" if value is None else str(value) for value in column] if None in column else map(str, column)
    return TEXT, f"{{{','.join(literals)}}}".encode()


def _array(oid: int, values: Sequence[bytes | None]) -> Parameter:
    if not values:
        return BINARY, _empty(0, 0, oid)
    hasnull = None in values
    parts: list[bytes] = []
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            size = len(value)
            parts += (_LENGTHS[size] if size < 4096 else _length(size), value)
    return BINARY, _head(1, hasnull, oid, len(values), 1) + b"".join(parts)
