"""Events: immutable records with a stored name, and the closed registry that encodes and decodes them.

The stored name and the schema version are a storage format. Renaming a class or moving a module never changes stored
data. Stored data never causes an import: an event type that the registry does not know is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from . import json_numbers
from .errors import CorruptEvent, DefinitionError, NotSerialisable, UnknownEvent
from .instants import fields_with_instants, within_calendar
from .names import check_stored_name, check_version
from .type_contents import may_contain

_NUMBERS = (msgspec.inspect.FloatType, msgspec.inspect.AnyType)

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the JSON object of schema version n into the JSON object of version n + 1."""

E = TypeVar("E", bound="type[Event]")


class StoredForm(Protocol):
    """Writes and reads the events of a type that is not stored as the JSON of its own fields."""

    def encode(self, event: Any, /) -> bytes:
        """Return the stored bytes of an event. Raises `TypeError` or `ValueError` for what cannot be written."""
        ...

    def decode(self, state: bytes, /) -> Event:
        """Return the event in stored bytes. Raises `KeyError`, `TypeError` or `ValueError` for bytes that are none."""
        ...


class Schema(msgspec.Struct, frozen=True):
    """How an event type is stored: its name, its schema version, and the upcasters of older versions."""

    name: str
    version: int
    upcasters: Mapping[int, Upcaster]
    form: StoredForm | None = None
    """None: the JSON of its fields."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Something that happened, at a time (UTC)."""

    # `gc=False` is safe because a frozen value is never part of a reference cycle. It matters because a worker makes
    # hundreds of thousands of events.

    schema: ClassVar[Schema]

    at: datetime


def event(name: str, *, version: int = 1, upcasters: Mapping[int, Upcaster] | None = None) -> Callable[[E], E]:
    """Declare how an event type is stored.

    `upcasters` maps each older schema version to the function that turns its JSON object into that of the next version.
    Raises `DefinitionError` unless there is exactly one for every version below `version`.
    """
    check_stored_name(name, "event name")
    check_version(version, f"event {name!r}")
    steps = dict(upcasters or {})
    if sorted(steps) != list(range(1, version)):
        raise DefinitionError(
            f"event {name!r} version {version} needs one upcaster for each version from 1 to {version - 1}, "
            f"and has them for {sorted(steps)}: every event ever stored must stay readable"
        )

    def declare(cls: E) -> E:
        cls.schema = Schema(name, version, steps)
        return cls

    return declare


class _Codec:
    """Reads and writes one event type."""

    __slots__ = ("instants", "numbers", "parse", "schema", "type")

    def __init__(self, type_: type[Event]) -> None:
        self.type = type_
        self.schema = type_.schema
        self.parse = msgspec.json.Decoder(type_).decode
        self.instants: tuple[str, ...] | None = None
        """The fields beside `at` that contain instants; None until the first event of the type is read, because to
        find them would slow the start of every program."""
        self.numbers: bool | None = None
        """Whether a field may be a number that JSON lacks; None until the first such question."""

    def decode(self, state: bytes) -> Event:
        """Returns the event in these bytes. An instant that UTC cannot hold is read as the nearest one that it can.

        So every reader can convert the times of an event. Nearly all are in UTC: only others are looked at.
        """
        event = self.parse(state)
        if event.at.tzinfo is UTC and self.instants == ():
            return event
        if self.instants is None:
            self.instants = tuple(name for name in fields_with_instants(self.type) if name != "at")
        for name in ("at", *self.instants):
            value = getattr(event, name)
            if value is not None and (type(value) is not datetime or value.tzinfo is not UTC):
                read: Event = within_calendar(event)
                return read
        return event


class _FormCodec(_Codec):
    """Reads an event type that has a stored form of its own."""

    __slots__ = ("_decode",)

    def __init__(self, type_: type[Event], form: StoredForm) -> None:
        super().__init__(type_)
        self._decode = form.decode

    def decode(self, state: bytes) -> Event:
        """Returns the event in these bytes."""
        read: Event = within_calendar(self._decode(state))
        return read


class Registry:
    """The closed set of event types that a ledger reads and writes."""

    def __init__(self, types: Iterable[type[Event]] = ()) -> None:
        self._codecs: dict[str, _Codec] = {}
        self._types: set[type[Event]] = set()
        self._encode = msgspec.json.Encoder().encode
        for type_ in types:
            self.add(type_)

    def add(self, type_: type[Event]) -> None:
        """Register an event type; registering the same type again has no effect.

        Raises `DefinitionError` if the type has no stored name of its own, or another type has that name.
        """
        if "schema" not in vars(type_):
            raise DefinitionError(f"event type {type_.__qualname__} has no stored name: decorate it with @event(...)")
        name = type_.schema.name
        known = self._codecs.get(name)
        if known is not None and known.type is not type_:
            raise DefinitionError(
                f"the stored name {name!r} belongs to {known.type.__module__}.{known.type.__qualname__}: "
                f"give {type_.__module__}.{type_.__qualname__} another one"
            )
        form = type_.schema.form
        self._codecs[name] = _Codec(type_) if form is None else _FormCodec(type_, form)
        self._types.add(type_)

    def __contains__(self, name: str) -> bool:
        return name in self._codecs

    @property
    def types(self) -> tuple[type[Event], ...]:
        """Every event type, in the order of registration."""
        return tuple(codec.type for codec in self._codecs.values())

    def encode(self, event: Event) -> bytes:
        """Returns the stored bytes of an event: UTF-8 JSON.

        Raises `UnknownEvent` if its type is not registered, `NotSerialisable` if a value is not JSON, or has a number
        that JSON lacks (NaN, infinity).
        """
        if type(event) not in self._types:
            raise UnknownEvent(
                event.schema.name, event.schema.version, "register its type with the ledger before using it"
            )
        try:
            form = event.schema.form
            if form is not None:
                return form.encode(event)
            written = self._encode(event)
            lost = json_numbers.may_stand_for_one(written) and self._lost_a_number(event, written)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise NotSerialisable(f"event {event.schema.name!r} cannot be written as JSON: {error}") from error
        if lost:
            raise NotSerialisable(f"event {event.schema.name!r} has a number that JSON lacks (NaN or infinity)")
        return written

    def decode(self, name: str, schema_version: int, state: bytes) -> Event:
        """Returns the event in these stored bytes, upcast to its present schema.

        Raises `UnknownEvent` for a name or a version that no registered type reads, and `CorruptEvent` for bytes that
        cannot be decoded as that type.
        """
        codec = self._codecs.get(name)
        if codec is None:
            raise UnknownEvent(name, schema_version, "register the type that reads it (--app, or App(events=[...]))")
        try:
            if schema_version == codec.schema.version:
                return codec.decode(state)
            return self._upcast(codec, schema_version, state)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise CorruptEvent(name, str(error) or type(error).__name__) from error

    def _lost_a_number(self, event: Event, written: bytes) -> bool:
        """Whether a null or a text in these bytes stands for a number. Most events have no place for one, or are read
        back as they were: of them that is quickly known.
        """
        codec = self._codecs[event.schema.name]
        if codec.numbers is None:
            codec.numbers = may_contain(msgspec.inspect.type_info(codec.type), _NUMBERS)
        try:
            if not codec.numbers or codec.parse(written) == event:
                return False
        except msgspec.DecodeError:  # a number that is needed was written as null, or a field has another type
            pass
        return json_numbers.is_within(event)

    def _upcast(self, codec: _Codec, schema_version: int, state: bytes) -> Event:
        schema = codec.schema
        if not 1 <= schema_version < schema.version:
            raise UnknownEvent(
                schema.name, schema_version, f"this version reads 1 to {schema.version}: upgrade sagaledger or the app"
            )
        fields = msgspec.json.decode(state, type=dict[str, Any])
        for version in range(schema_version, schema.version):
            fields = schema.upcasters[version](fields)
        upcast = msgspec.json.encode(fields)
        if json_numbers.may_stand_for_one(upcast) and json_numbers.is_within(fields):
            raise ValueError("its upcaster returned a number that JSON lacks (NaN or infinity)")
        return codec.decode(upcast)
