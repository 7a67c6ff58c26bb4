"""What a declared type is made of, as Python annotations; and which of it no JSON can hold, whatever reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, MutableSet, Set
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NewType, Union, get_args, get_origin, get_type_hints

from msgspec import Struct, UnsetType

from ..pydantic_fields import is_model

_SETS: Final = (set, frozenset, Set, MutableSet)
_DICTS: Final = (dict, Mapping, MutableMapping)


def components(type_: Any) -> Iterator[Any]:
    """Yields a type and all types that it is made of, each once, as far as annotations can be read."""
    seen: dict[int, Any] = {}  # holds on to them, so that no id is used twice
    pending = [type_]
    while pending:
        part = pending.pop()
        if id(part) not in seen:
            seen[id(part)] = part
            yield part
            pending += _within(part)


def never_held(type_: Any) -> str | None:
    """Returns what is wrong with a part of a type of which no value can be written and read; None if nothing is."""
    if UnsetType in _alternatives(type_):
        return "UNSET, which stands for a field that is left out: use None"
    for part in components(type_):
        origin, arguments = get_origin(part), get_args(part)
        if origin in _SETS and arguments and (wrong := _unhashable(arguments[0])) is not None:
            return f"a set of {_shown(wrong)}, which has no hash: use a list, or make it frozen"
        if origin in _DICTS and arguments and (wrong := _no_key(arguments[0])) is not None:
            return f"a dict whose keys are {_shown(wrong)}: a key must be of one type that JSON writes as a text"
        for attribute in getattr(part, "__attrs_attrs__", ()) if isinstance(part, type) else ():
            if attribute.name.startswith("_"):
                return f"the field {attribute.name} of attrs class {_shown(part)}, which is not written: rename it"
            if attribute.type is None:
                return f"the field {attribute.name} of attrs class {_shown(part)}, which has no type: annotate it"
    return None


def _within(part: Any) -> list[Any]:
    if get_origin(part) is Literal:
        return []
    inner = [each for each in get_args(part) if not isinstance(each, str)]
    if get_origin(part) is Annotated:
        return inner[:1]
    if isinstance(part, NewType):
        return [part.__supertype__]
    if _is_alias(part):
        return [part.__value__]
    class_ = get_origin(part) or part
    return inner + _hints(class_) if isinstance(class_, type) else inner


def _hints(class_: type[Any]) -> list[Any]:
    """Returns the types of a class's fields; none of a class that is no record, or whose annotations cannot be read."""
    if is_model(class_):
        return [field.annotation for field in class_.__pydantic_fields__.values()]
    if not _is_record(class_):
        return []
    try:
        return list(get_type_hints(class_, include_extras=True).values())
    except Exception:  # noqa: BLE001 -- what reads the type says what is wrong with it
        return []


def _is_record(class_: type[Any]) -> bool:
    return (
        is_model(class_)
        or issubclass(class_, Struct)
        or is_dataclass(class_)
        or hasattr(class_, "__required_keys__")  # a typed dict, also one of `typing_extensions`
        or hasattr(class_, "__attrs_attrs__")
        or hasattr(class_, "_fields")
    )


def _alternatives(type_: Any) -> Iterator[Any]:
    """Yields what a type stands for: of a union its members, of an alias or an annotated type what it names."""
    if get_origin(type_) in (Union, UnionType):
        for each in get_args(type_):
            yield from _alternatives(each)
    elif get_origin(type_) is Annotated or isinstance(type_, NewType) or _is_alias(type_):
        yield from _alternatives(_within(type_)[0])
    else:
        yield type_


def _is_alias(type_: Any) -> bool:
    """Whether a type was made by a `type` statement."""
    return hasattr(type_, "__value__") and not isinstance(type_, type)


def _unhashable(type_: Any) -> Any:
    for each in _alternatives(type_):
        class_ = get_origin(each) or each
        if class_ is tuple:
            wrong = next(filter(None, map(_unhashable, get_args(each))), None)
            if wrong is not None:
                return wrong
        elif isinstance(class_, type) and (getattr(class_, "__hash__", None) is None or _is_mutable_struct(class_)):
            return each
    return None


def _is_mutable_struct(class_: type[Any]) -> bool:
    return issubclass(class_, Struct) and class_.__struct_config__.eq and not class_.__struct_config__.frozen


def _no_key(type_: Any) -> Any:
    several = list(_alternatives(type_))
    for each in several:
        class_ = get_origin(each) or each
        if class_ in (bool, NoneType, None):
            return each
        if isinstance(class_, type) and (issubclass(class_, (tuple, Set, list, dict)) or _is_record(class_)):
            return each
    texts = [each for each in several if get_origin(each) is not Literal]
    return type_ if len(texts) > 1 else None


def _shown(type_: Any) -> str:
    return type_.__qualname__ if isinstance(type_, type) and not get_args(type_) else str(type_)
