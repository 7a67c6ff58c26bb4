"""Types that contain pydantic's models: pydantic writes and reads their values, by the names of fields.

An alias is for those who give an input; what is stored has the names. What pydantic would write and not read back is
refused at the definition where the type says so, and otherwise when the value is written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from itertools import chain
from types import NoneType, UnionType
from typing import Any, Final, Union, cast, get_args, get_origin

import msgspec
from msgspec import Raw

from ..errors import DefinitionError, NotSerialisable
from ..pydantic_fields import is_model
from .model_json import READ, WRITTEN, shown
from .payload import write_payload
from .type_components import components

_VERSION_MIN: Final = (2, 11)
"""The first version that reads by names and by aliases whatever a model's own configuration says."""
_FORBIDS_SINCE: Final = (2, 12)
"""The first version that can be told to refuse fields that no model has."""
_STRICT: Final = {"extra": "forbid"}
_WARNINGS: Final = frozenset({"skipped-choice", "non-serializable-default"})
_NAMED: Final = ("properties", "patternProperties", "$defs")
_NESTED: Final = ("items", "prefixItems", "anyOf", "oneOf", "allOf", "additionalProperties")
_LEAVES: Final = ("type", "format", "enum", "const", "required", "discriminator", "$ref")


def mentions_model(type_: Any) -> bool:
    """Whether a type is a model of pydantic's or is made of types of which one is."""
    return any(is_model(part) for part in components(type_))


class PydanticType:
    """Writes and reads values of a type with models in it."""

    def __init__(self, type_: Any, what: str) -> None:
        """Raises `DefinitionError`, naming `what`, for a type of which values could not be read back."""
        version = sys.modules["pydantic"].VERSION
        if not _knows(version, _VERSION_MIN):
            raise DefinitionError(f"{what} needs pydantic {'.'.join(map(str, _VERSION_MIN))} or newer, not {version}")
        try:
            self._adapter = _adapter_of(type_)
            read, written = schema_of_models(type_), schema_of_models(type_, mode="serialization")
        except Exception as error:
            raise DefinitionError(
                f"{what} has a type that pydantic cannot read from JSON ({_first_line(error)}): beside models it may "
                "have dataclasses, typed dicts, named tuples and builtins, but no msgspec structs or attrs classes"
            ) from error
        wrong = next(
            chain(_lost(type_), _unwritten(read), _unwritten(written), _ambiguous(written), _alike(type_)), None
        )
        if wrong is not None:
            raise DefinitionError(f"{what} has a type of which not every value could be read back: {wrong}")
        self._typed = not any(map(_is_open, _nodes(read)))
        is_told = _knows(version, _FORBIDS_SINCE) and not any(map(_says_of_extra, components(type_)))
        self._given = _STRICT if is_told else {}
        """How a value that is given is read: a field that no model has is refused, unless a model says otherwise."""

    def decode(self, raw: Raw, /) -> Any:
        """Returns the value in JSON. Raises `msgspec.ValidationError`."""
        return self._decode(raw)

    def _decode(self, raw: Raw, **options: Any) -> Any:
        try:
            return self._adapter.validate_json(bytes(raw), **READ, **options)
        except sys.modules["pydantic"].ValidationError as error:
            raise msgspec.ValidationError(shown(error)) from error

    def write(self, what: str, value: Any) -> Raw:
        return write_payload(what, value, self.decode, typed=self._typed, encode=partial(self._encode, what))

    def accept(self, what: str, value: Any) -> Raw:
        if not self._holds(value):
            value = self._decode(write_payload(what, value), **self._given)
        return self.write(what, value)

    def _encode(self, what: str, value: Any) -> bytes:
        try:
            written: bytes = self._adapter.dump_json(value, **WRITTEN)
        except ValueError as error:
            raise NotSerialisable(f"{what} is a {type(value).__name__} that does not fit: {shown(error)}") from error
        msgspec.json.decode(written)  # a model may be told to write NaN, which JSON lacks
        return written

    def _holds(self, value: Any) -> bool:
        """Whether a value is of the type already, rather than JSON from which one is read."""
        try:
            self._adapter.dump_python(value, **WRITTEN)
        except (TypeError, ValueError):
            return False
        return True


def schema_of_models(type_: Any, mode: str = "validation") -> dict[str, Any]:
    """Returns the JSON schema by which stored values are read, or that of what is written."""
    adapter = _adapter_of(type_)
    silent = type(
        "Silent", (sys.modules["pydantic.json_schema"].GenerateJsonSchema,), {"ignored_warning_kinds": _WARNINGS}
    )
    schema: dict[str, Any] = adapter.json_schema(by_alias=False, mode=mode, schema_generator=silent)
    return schema


def structure_of_models(type_: Any) -> dict[str, Any]:
    """Returns what of the JSON schema is the meaning of stored values, and the same in all versions of pydantic."""
    return cast("dict[str, Any]", _meaning(schema_of_models(type_)))


def _adapter_of(type_: Any) -> Any:
    return sys.modules["pydantic"].TypeAdapter(type_)


def _meaning(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_meaning(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    named = {key: {name: _meaning(part) for name, part in schema[key].items()} for key in _NAMED if key in schema}
    return (
        {key: _meaning(part) for key, part in schema.items() if key in _NESTED}
        | named
        | {key: part for key, part in schema.items() if key in _LEAVES}
    )


def _is_open(node: dict[str, Any]) -> bool:
    """Whether a schema leaves open what its values are, as that of `Any` does."""
    return node.get("additionalProperties") is True or not (node.keys() - {"title", "description", "default", "$defs"})


def _knows(version: str, least: tuple[int, int]) -> bool:
    return tuple(int(part) for part in version.split(".")[:2]) >= least


def _says_of_extra(type_: Any) -> bool:
    """Whether a model says itself what is done with fields that it lacks."""
    return is_model(type_) and "extra" in _config_of(type_)


def _config_of(model: Any) -> dict[str, Any]:
    config: dict[str, Any] | None = getattr(model, "model_config", None) or getattr(model, "__pydantic_config__", None)
    return config or {}


def _lost(type_: Any) -> Iterator[str]:
    """Yields what a type says of fields that are not written, or not so that they can be read."""
    for model in filter(is_model, components(type_)):
        fields = model.__pydantic_fields__
        config = _config_of(model)
        if bytes in components(model) and config.get("ser_json_bytes") != config.get("val_json_bytes"):
            yield f"{model.__name__} reads bytes in another way than it writes them: set both ser_ and val_json_bytes"
        for name, field in fields.items():
            where = f"field {name!r} of {model.__name__}"
            if field.exclude or getattr(field, "exclude_if", None) is not None:
                yield f"{where} is excluded when it is written: include it, or make it a private attribute"
            for alias in _aliases(field):
                if alias in fields and alias != name:
                    yield f"{where} has the alias {alias!r}, which is the name of another field: rename one"


def _aliases(field: Any) -> Iterator[str]:
    """Yields the first keys by which a field can be given."""
    alias = field.validation_alias or field.alias
    for choice in getattr(alias, "choices", [alias]):
        first = getattr(choice, "path", [choice])[0]
        if isinstance(first, str):
            yield first


def _unwritten(schema: Any) -> Iterator[str]:
    """Yields what is wrong with texts that stand for something else, as a JSON schema shows them."""
    for node in _nodes(schema):
        if node.get("writeOnly"):
            yield "a secret is masked when it is written: use a text, and encrypt it yourself"
        if node.get("format") == "binary":
            yield (
                "bytes are written as UTF-8, which not all are: set ser_json_bytes='base64' and val_json_bytes='base64'"
                " in the model_config"
            )


def _ambiguous(schema: Any) -> Iterator[str]:
    """Yields what is wrong with unions, as the JSON schema of what is written shows them."""
    classes = schema.get("$defs", {})
    for node in _nodes(schema):
        choices = list(_choices(node, classes))
        kinds = [each["type"] for each in choices if "type" in each]
        twice = next((kind for kind in kinds if kinds.count(kind) > 1), None)
        if twice is not None and not _are_tagged([each for each in choices if each.get("type") == twice]):
            named = " | ".join(str(each.get("title") or each.get("format") or each.get("type")) for each in choices)
            remedy = "give its models a discriminator" if twice == "object" else "use one of them"
            yield f"JSON cannot tell the members of the union {named} apart: {remedy}"


def _choices(node: dict[str, Any], classes: dict[str, Any], within: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """Yields what a union chooses from, except for literals; of a union within it, what that one chooses from."""
    for each in node.get("anyOf", ()):
        if each.keys() & {"const", "enum"}:
            continue
        name = each.get("$ref", "").rpartition("/")[2]
        choice = classes.get(name, each)
        if "anyOf" not in choice:
            yield choice
        elif not name or name not in within:
            yield from _choices(choice, classes, (*within, name))


def _alike(type_: Any) -> Iterator[str]:
    """Yields what is wrong with unions of which two members have one JSON schema: pydantic then leaves out one."""
    for union in components(type_):
        members = [each for each in get_args(union) if each is not NoneType]
        if get_origin(union) not in (Union, UnionType) or len(members) == 1:
            continue
        try:
            schemas = [schema_of_models(each, mode="serialization") for each in members]
        except sys.modules["pydantic.errors"].PydanticUserError:  # it needs the settings of its model
            continue
        if any(schema in schemas[:number] for number, schema in enumerate(schemas)):
            yield f"JSON cannot tell the members of the union {union} apart: use one of them"


def _are_tagged(objects: list[Any]) -> bool:
    """Whether a field has another literal value in each of these objects."""
    for name in objects[0].get("properties", {}):
        tags = [each.get("properties", {}).get(name, {}).get("const") for each in objects]
        if None not in tags and len(set(map(str, tags))) == len(tags):
            return True
    return False


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Yields each schema within a schema, with itself."""
    if isinstance(schema, list):
        for part in schema:
            yield from _nodes(part)
    elif isinstance(schema, dict):
        yield schema
        for key in _NESTED:
            yield from _nodes(schema.get(key))
        for key in _NAMED:
            yield from _nodes(list(schema.get(key, {}).values()))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
