"""Whether a value that was read back from JSON is the value that was written, as far as its type can say.

Reading may make more of a value: an object becomes a struct with defaults, a list a tuple, a text a time. But nothing
may be lost: a field that the type lacks, or that a value was bytes, a number or a time where its type says text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Raw, inspect

from ..pydantic_fields import fields_of_model
from ..type_contents import may_contain
from .equality import fields_of, same_value

_KINDS: Final = (bytes, bytearray, memoryview, datetime, date, time, timedelta, Decimal, UUID)
"""The types of values that JSON writes as texts."""


def _builtin(value: Any) -> Any:
    """Returns what stands for a value that msgspec does not know: a model's fields, or a text."""
    fields = fields_of_model(value)
    if fields is not None:
        return fields
    return bytes(value) if isinstance(value, Raw) else str(value)


_encode: Final = msgspec.json.Encoder(enc_hook=_builtin).encode
_decode: Final = msgspec.json.Decoder().decode


def is_read_back(read: Any, given: Any, *, typed: bool) -> bool:
    """Whether nothing of a value was lost when it was written and read.

    `typed`: whether its type says what each part of it is. If not, a text may stand for a time, as in any JSON.
    """
    if (type(read) is type(given) and read == given) or same_parts(read, given):
        return True
    if not _covers(_decode(_encode(read)), _decode(_encode(given))):
        return False
    return Counter(_kinds_in(given, typed=typed)) <= Counter(_kinds_in(read, typed=typed))


def same_parts(one: Any, other: Any) -> bool:
    """Whether two values of the same types have the same fields and parts, whatever their own `==` says."""
    if type(one) is not type(other):
        return False
    fields = fields_of(one)
    if fields is not None:
        return same_parts(fields, fields_of(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_parts(part, other[key]) for key, part in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same_parts, one, other))
    return bool(one == other)


def says_what_each_part_is(type_: Any) -> bool:
    """Whether a type leaves no part of a value open, as `Any` does."""
    return not may_contain(inspect.type_info(type_), (inspect.AnyType,))


def _covers(read: Any, given: Any) -> bool:
    """Whether JSON has all that other JSON has; texts may differ in form, as those of times do."""
    if isinstance(read, dict) and isinstance(given, dict):
        return all(key in read and _covers(read[key], part) for key, part in given.items())
    if isinstance(read, list) and isinstance(given, list):
        pairs = zip(read, given, strict=False)
        return len(read) == len(given) and (all(_covers(*pair) for pair in pairs) or same_value(read, given))
    return (isinstance(read, str) and isinstance(given, str)) or same_value(read, given)


def _kinds_in(value: Any, *, typed: bool) -> Iterator[str]:
    """Yields the numbers in a value that JSON lacks; and if it is typed, what its texts stand for, and other keys."""
    pending = [msgspec.to_builtins(value, builtin_types=_KINDS, enc_hook=_builtin)]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            yield from ("key" for key in part if typed and not isinstance(key, str))
            pending += part.values()
        elif isinstance(part, (list, tuple, set, frozenset)):
            pending += part
        elif isinstance(part, float) and not isfinite(part):
            yield "no number"
        elif typed and isinstance(part, _KINDS):
            yield "bytes" if isinstance(part, _KINDS[:3]) else type(part).__name__
