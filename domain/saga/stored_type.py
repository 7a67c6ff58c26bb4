"""The types that a definition declares for its input, items, signals and results: each can be read back from JSON."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec
from msgspec import Raw, inspect

from ..errors import DefinitionError
from ..type_contents import parts_of
from .payload import write_payload
from .pydantic_type import PydanticType, mentions_model, schema_of_models
from .read_back import says_what_each_part_is
from .type_components import never_held
from .unknown_fields import refuse_unknown_fields

_UNREADABLE: Final = (TypeError, ValueError, AttributeError, NameError, KeyError, RecursionError)
"""What msgspec raises for types that it does not know, or whose annotations make no sense."""


class StoredType(Protocol):
    """Writes and reads the values of one type."""

    def decode(self, raw: Raw, /) -> Any:
        """Returns the value in JSON. Raises `msgspec.DecodeError` if it does not fit the type."""

    def write(self, what: str, value: Any) -> Raw:
        """Returns a value as JSON. Raises `NotSerialisable` if it would not be read back as it is."""

    def accept(self, what: str, value: Any) -> Raw:
        """Returns a value of the type, or JSON that fits it, as the type writes it.

        Raises `NotSerialisable`, and `msgspec.MsgspecError`, `TypeError` or `ValueError` if it does not fit, or has a
        field that the type lacks: it would be left out.
        """


class MsgspecType:
    """Builtins, structs, dataclasses, attrs classes, typed dicts and named tuples, as msgspec reads them."""

    def __init__(self, type_: Any) -> None:
        self.decode = msgspec.json.Decoder(type_).decode
        self._typed = None if type_ in (Any, Raw) else says_what_each_part_is(type_)
        self._type = type_
        self._info: inspect.Type | None = None
        """What fields a value may have; None until one is given in another form than it is written in."""

    def write(self, what: str, value: Any) -> Raw:
        return write_payload(what, value, self.decode, typed=self._typed)

    def accept(self, what: str, value: Any) -> Raw:
        given = write_payload(what, value)
        raw = write_payload(what, self.decode(given), self.decode)
        if bytes(raw) != bytes(given):  # it was given in another form, or a part of it was lost
            self._info = self._info or inspect.type_info(self._type)
            refuse_unknown_fields(self._info, msgspec.json.decode(given))
        return raw


def decoder_of(type_: Any, what: str) -> StoredType:
    """Returns what reads and writes values of a type.

    Raises `DefinitionError`, naming `what`, if no value could be read back.
    """
    if (wrong := never_held(type_)) is not None:
        raise DefinitionError(f"{what} has a type of which not every value could be stored: {wrong}")
    if mentions_model(type_):
        return PydanticType(type_, what)
    try:
        stored_type = MsgspecType(type_)
        unreadable = _unreadable(inspect.type_info(type_))
    except _UNREADABLE as error:
        raise DefinitionError(
            f"{what} has a type that cannot be read back from JSON: {error}{_remedy(error)}"
        ) from error
    if unreadable is not None:
        raise DefinitionError(
            f"{what} has the type {unreadable}, which cannot be read back from JSON: use a msgspec.Struct, a dataclass,"
            " an attrs class, a pydantic model or a builtin, or annotate Any and convert the value yourself"
        )
    return stored_type


def json_schema_of(type_: Any) -> dict[str, Any]:
    """Returns the JSON schema of what is stored. Raises `TypeError` for a type that has none."""
    if mentions_model(type_):
        return schema_of_models(type_)
    return msgspec.json.schema(type_)


def _unreadable(info: inspect.Type) -> str | None:
    """Returns the name of the first class within a type that JSON can never become, if there is one."""
    for part in parts_of(info):
        if isinstance(part, inspect.CustomType):
            return part.cls.__qualname__
        if isinstance(part, inspect.ExtType):
            return "Ext"
    return None


def _remedy(error: Exception) -> str:
    if "more than one" in str(error) or "must be tagged" in str(error):
        return "; what JSON cannot tell apart needs a tag: use msgspec structs with `tag=True`, or one type"
    return ""
