"""What the values of a type may contain, as msgspec describes types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from msgspec.inspect import Field, Type

Part: TypeAlias = Type | Field


def parts_of(type_: Part) -> Iterator[Part]:
    """Yields a type of msgspec's, or a field of one, and all that it is made of, each once."""
    seen: set[int] = set()  # a struct may contain itself
    pending: list[Any] = [type_]
    while pending:
        part = pending.pop()
        if isinstance(part, tuple):
            pending += part
        elif isinstance(part, Part) and id(part) not in seen:
            seen.add(id(part))
            yield part
            pending += [getattr(part, name) for name in part.__struct_fields__ if name != "default"]


def may_contain(type_: Part, kinds: tuple[type[Type], ...]) -> bool:
    """Whether a type, or a field of one, is of these kinds or is made of types of which one is."""
    return any(isinstance(part, kinds) for part in parts_of(type_))
