"""Events that a handler may change: what one view does to them, no other view and no second fold sees.

Events are frozen, but a list, a dict or a set within one is not. All views of a process fold the same decoded events,
and fold a batch again after an event that failed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import inspect
from msgspec.structs import replace

from ..domain.event import Event
from ..domain.recorded_event import RecordedEvent
from ..domain.type_contents import Part, parts_of

_MUTABLE: Final = frozenset(
    {
        inspect.AnyType,
        inspect.ByteArrayType,
        inspect.CollectionType,
        inspect.CustomType,
        inspect.DictType,
        inspect.ListType,
        inspect.SetType,
        inspect.TypedDictType,
    }
)
"""What values of these declared types are may be changed in place."""
_encode: Final = msgspec.json.Encoder().encode


def private(recorded: RecordedEvent) -> RecordedEvent:
    """Returns an event that only the caller has: itself if nothing in it can be changed, as in most types."""
    copy = copy_of(type(recorded.event))
    return recorded if copy is None else replace(recorded, event=copy(recorded.event))


@lru_cache(maxsize=4096)
def copy_of(type_: type[Event]) -> Callable[[Event], Event] | None:
    """Returns what copies the events of a type; None for a type of which nothing can be changed."""
    if not _holds_mutable(type_):
        return None
    decode = msgspec.json.Decoder(type_).decode
    return lambda event: decode(_encode(event))


def _holds_mutable(type_: type[Event]) -> bool:
    return any(type(part) in _MUTABLE or not _is_frozen(part) for part in parts_of(inspect.type_info(type_)))


def _is_frozen(part: Part) -> bool:
    """Whether the fields of a value keep their values; True for a value without fields."""
    if isinstance(part, inspect.StructType):
        return part.cls.__struct_config__.frozen
    if isinstance(part, inspect.DataclassType):
        return bool(getattr(part.cls, "__dataclass_params__").frozen)  # noqa: B009  # not declared in typeshed
    return True
