"""The types that a definition declares for its input and its results: each can be read back from JSON."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import inspect

from ..errors import DefinitionError


def decoder_of(type_: Any, what: str) -> msgspec.json.Decoder[Any]:
    """Returns what reads values of a type. Raises `DefinitionError`, naming `what`, if no value could be read back."""
    try:
        decoder = msgspec.json.Decoder(type_)
        unreadable = _unreadable(inspect.type_info(type_))
    except (TypeError, ValueError, AttributeError, NameError, RecursionError) as error:
        raise DefinitionError(f"{what} has a type that cannot be read back from JSON: {error}") from error
    if unreadable is not None:
        raise DefinitionError(
            f"{what} has the type {unreadable.__qualname__}, which cannot be read back from JSON: use a msgspec.Struct,"
            " a dataclass or a builtin, or annotate Any and convert the value yourself"
        )
    return decoder


def _unreadable(info: inspect.Type) -> type[Any] | None:
    """Returns the first class within a type that JSON can never become, if there is one."""
    seen: set[int] = set()
    pending: list[Any] = [info]
    while pending:
        part = pending.pop()
        if isinstance(part, inspect.CustomType):
            return part.cls
        if isinstance(part, (inspect.Type, inspect.Field)):
            if id(part) not in seen:
                seen.add(id(part))
                pending += [getattr(part, field) for field in part.__struct_fields__ if field != "default"]
        elif isinstance(part, tuple):
            pending += part
    return None
