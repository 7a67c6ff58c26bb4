"""The fields of a given value that its declared type lacks. Reading the value as that type would drop them silently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, inspect

_WITH_FIELDS: Final = (inspect.StructType, inspect.DataclassType, inspect.TypedDictType, inspect.NamedTupleType)
_OF_ITEMS: Final = (
    inspect.ListType,
    inspect.SetType,
    inspect.FrozenSetType,
    inspect.CollectionType,
    inspect.VarTupleType,
)


class UnknownField(Struct, frozen=True):
    """A field that a value has and its type lacks."""

    path: str
    """Where it is, such as `lines[0].discount`."""
    known: tuple[str, ...]
    """The fields that the type has there."""


def refuse_unknown_fields(info: inspect.Type, given: Any) -> None:
    """Raise `ValueError` if a value, as read from JSON without a type, has a field that its type lacks."""
    unknown = unknown_field(info, given)
    if unknown is not None:
        raise ValueError(
            f"its type has no field {unknown.path!r} (it has {', '.join(unknown.known)} there): leave it out, or add "
            "it to the type with a default"
        )


def unknown_field(info: inspect.Type, given: Any) -> UnknownField | None:
    """Returns the first field of a value, as read from JSON without a type, that its type lacks; None without one."""
    return next(_unknown(info, given, ""), None)


def _unknown(info: inspect.Type, given: Any, path: str) -> Iterator[UnknownField]:
    if isinstance(given, dict):
        yield from _in_object(info, given, path)
    elif isinstance(given, list):
        yield from _in_array(info, given, path)


def _in_object(info: inspect.Type, given: Mapping[str, Any], path: str) -> Iterator[UnknownField]:
    for option in _options(info):
        if isinstance(option, inspect.DictType):
            for key, part in given.items():
                yield from _unknown(option.value_type, part, _joined(path, key))
        elif isinstance(option, _WITH_FIELDS) and not _is_array(option) and _is_tagged_as(option, given):
            fields = {field.encode_name: field.type for field in option.fields}
            tag = option.tag_field if isinstance(option, inspect.StructType) else None
            for key, part in given.items():
                if key in fields:
                    yield from _unknown(fields[key], part, _joined(path, key))
                elif key != tag:
                    yield UnknownField(_joined(path, key), tuple(fields))


def _in_array(info: inspect.Type, given: Sequence[Any], path: str) -> Iterator[UnknownField]:
    for option in _options(info):
        if isinstance(option, _OF_ITEMS):
            for number, part in enumerate(given):
                yield from _unknown(option.item_type, part, f"{path}[{number}]")
        elif isinstance(option, inspect.TupleType):
            for number, (type_, part) in enumerate(zip(option.item_types, given, strict=False)):
                yield from _unknown(type_, part, f"{path}[{number}]")
        elif isinstance(option, _WITH_FIELDS) and _is_array(option):
            tags = isinstance(option, inspect.StructType) and option.tag is not None
            if tags and given[:1] != [option.tag]:  # type: ignore[union-attr]  # only a struct has a tag
                continue
            for number, part in enumerate(given[tags:]):
                if number >= len(option.fields):
                    yield UnknownField(f"{path}[{number + tags}]", tuple(field.name for field in option.fields))
                else:
                    yield from _unknown(option.fields[number].type, part, f"{path}[{number + tags}]")


def _options(info: inspect.Type) -> Sequence[inspect.Type]:
    """Returns the types of a union. JSON can be read as one of them alone: by its kind, or by its tag."""
    return info.types if isinstance(info, inspect.UnionType) else (info,)


def _is_array(info: inspect.Type) -> bool:
    """Whether a type with fields is written as an array."""
    return isinstance(info, inspect.NamedTupleType) or (isinstance(info, inspect.StructType) and info.array_like)


def _is_tagged_as(info: inspect.Type, given: Mapping[str, Any]) -> bool:
    if not isinstance(info, inspect.StructType) or info.tag_field is None:
        return True
    return info.tag_field not in given or given[info.tag_field] == info.tag


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
