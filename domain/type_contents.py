"""What the values of a type may contain, as msgspec describes types."""

from __future__ import annotations

from typing import Any

from msgspec.inspect import Field, Type


def may_contain(part: Type | Field, kinds: tuple[type[Type], ...]) -> bool:
    """Whether a type of msgspec's, or a field of one, is of these kinds or is made of types of which one is."""
    return _may_contain(part, kinds, set())


def _may_contain(part: Type | Field, kinds: tuple[type[Type], ...], seen: set[int]) -> bool:
    if isinstance(part, kinds):
        return True
    if id(part) in seen:  # a struct that contains itself
        return False
    seen.add(id(part))
    inner: list[Any] = []
    for name in part.__struct_fields__:
        value = getattr(part, name)
        inner += value if isinstance(value, tuple) else [value]
    return any(_may_contain(each, kinds, seen) for each in inner if isinstance(each, Type | Field))
