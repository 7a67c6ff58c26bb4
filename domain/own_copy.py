"""Values for code of an app that may change what it is given, while others keep the value as it was."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, Final, TypeVar
from uuid import UUID

from msgspec import Struct

T = TypeVar("T")

_FROZEN: Final = (
    int,
    float,
    complex,
    str,
    bytes,
    tuple,
    frozenset,
    Decimal,
    Enum,
    date,
    time,
    timedelta,
    UUID,
    type(None),
)


def own_copy(value: T) -> T:
    """Returns a copy of a value that can be changed in place; the value itself if it cannot.

    What a frozen value contains is not looked at.
    """
    type_: Any = type(value)
    return value if _is_frozen(type_) else deepcopy(value)


@lru_cache(maxsize=1024)
def _is_frozen(type_: type[Any]) -> bool:
    """Whether values of a type cannot be changed in place."""
    if issubclass(type_, Struct):
        return type_.__struct_config__.frozen
    if is_dataclass(type_):
        return bool(type_.__dataclass_params__.frozen)  # type: ignore[attr-defined]
    return issubclass(type_, _FROZEN)
