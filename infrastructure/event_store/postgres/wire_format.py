"""Parameters as PostgreSQL's protocol has them in binary, made column by column.

psycopg adapts values of any type and arrays of any depth; a batch's flat columns of known types need neither. The
format is that of the server's `array_send`, `uuid_send`, `int8send`, `boolsend` and `timestamptz_send`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from itertools import chain
from typing import Final, TypeVar

TEXT: Final = 0
BINARY: Final = 1
Parameter = tuple[int, bytes | None]
"""A parameter as it is sent: its format, and its bytes; None is NULL."""

SHORT_MAX: Final = 4
"""Up to so many values in a column, as of a lone append, are seldom alike, but often those of the call before."""
KEPT_MAX: Final = 1024
"""How many short columns of each type are kept as they were encoded."""

T = TypeVar("T")

_BYTEA: Final = 17
_INT8: Final = 20
_INT4: Final = 23
_TEXT: Final = 25
_TIMESTAMPTZ: Final = 1184
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_HEAD_BYTES: Final = 20
_BIGINT_BYTES: Final = 12

_head: Final = struct.Struct(">iiIii").pack
_empty: Final = struct.Struct(">iiI").pack
_length: Final = struct.Struct(">i").pack
_length_and_int4: Final = struct.Struct(">ii").pack
_length_and_int8: Final = struct.Struct(">iq").pack
_NULL: Final = _length(-1)
_int4_element: Final = partial(_length_and_int4, 4)

int8: Final = struct.Struct(">q").pack
boolean: Final = struct.Struct(">?").pack


class Texts:
    """Makes the `text[]` of one call. A value that stands in them many times, as most do, is encoded once."""

    def __init__(self) -> None:
        self._encoded: dict[str | None, bytes] = {None: _NULL}

    def __call__(self, column: Sequence[str | None]) -> Parameter:
        """A `text[]`."""
        encoded = self._encoded
        for value in set(column).difference(encoded):
            encoded[value] = _framed((value or "").encode())
        return _array(_TEXT, column, map(encoded.__getitem__, column))


def byteas(column: Sequence[bytes]) -> Parameter:
    """A `bytea[]`."""
    lengths = list(map(len, column))
    return _array(_BYTEA, column, chain.from_iterable(zip(_each(lengths, _length), column, strict=True)))


def instants(column: Sequence[datetime | None]) -> Parameter:
    """A `timestamptz[]`."""
    microseconds = [None if at is None else (at - _EPOCH) // _MICROSECOND for at in column]
    return _array(_TIMESTAMPTZ, column, _each(microseconds, _int8_element))


def integers(column: Sequence[int]) -> Parameter:
    """An `integer[]`."""
    return _array(_INT4, column, _each(column, _int4_element))


def bigints(column: Sequence[int | None]) -> Parameter:
    """A `bigint[]`."""
    return _array(_INT8, column, _each(column, _int8_element))


def texts(column: Sequence[str | None]) -> Parameter:
    """A `text[]` by itself."""
    return Texts()(column)


# For short columns.
kept_texts: Final = lru_cache(KEPT_MAX)(texts)
kept_integers: Final = lru_cache(KEPT_MAX)(integers)
kept_bigints: Final = lru_cache(KEPT_MAX)(bigints)


def unpack_bigints(value: bytes) -> tuple[int, ...]:
    """The elements of a `bigint[]` that has some, and no NULL."""
    return _bigints(len(value))(value)


@lru_cache
def _bigints(size_bytes: int) -> Callable[[bytes], tuple[int, ...]]:
    """Reads an array of so many bytes."""
    elements = (size_bytes - _HEAD_BYTES) // _BIGINT_BYTES
    return struct.Struct(f">{_HEAD_BYTES}x{'4xq' * elements}").unpack


def _each(column: Sequence[T], encode: Callable[[T], bytes]) -> Iterable[bytes]:
    """Every value encoded; one that stands there many times, as most do, once."""
    if len(column) <= SHORT_MAX:
        return map(encode, column)
    encoded = {value: encode(value) for value in set(column)}
    return map(encoded.__getitem__, column)


def _int8_element(value: int | None) -> bytes:
    return _NULL if value is None else _length_and_int8(8, value)


def _framed(value: bytes) -> bytes:
    """An element of an array: its length, then its bytes."""
    return _length(len(value)) + value


def _array(oid: int, column: Sequence[object], elements: Iterable[bytes]) -> Parameter:
    if not column:
        return BINARY, _empty(0, 0, oid)
    return BINARY, _head(1, None in column, oid, len(column), 1) + b"".join(elements)
