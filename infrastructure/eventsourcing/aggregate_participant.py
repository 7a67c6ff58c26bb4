"""Aggregates of the `eventsourcing` library as a participant: for local steps, and for views over their events.

Their events stay exactly as the library's mapper writes them, so that a step and the library's own application read and
write the same streams. A step's events and its outcome are one append.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any, ClassVar, TypeAlias
from uuid import UUID

from eventsourcing.domain import BaseAggregate, CanMutateAggregate
from eventsourcing.persistence import DatetimeAsISO, DecimalAsStr, JSONTranscoder, Mapper, StoredEvent, UUIDAsHex
from eventsourcing.utils import get_topic

from ...domain.errors import DefinitionError
from ...domain.event import Event, Schema
from ...domain.names import check_stored_name
from ...domain.participant import UUID_CATEGORY, Command, Participant

AnyAggregate: TypeAlias = BaseAggregate[Any]
DecideWith: TypeAlias = Callable[[Any, Any], "AnyAggregate | None"]
"""Takes an aggregate (None: there is none yet) and a command. Returns the aggregate whose events are to be recorded, or
None if there is nothing to do."""
_NOWHERE = UUID(int=0)
_SCHEMA_VERSION = 1  # the library keeps the versions of its events in their state
_PLACE = ("originator_id", "originator_version")


class AggregateEvent(Event, frozen=True):
    """An event of an aggregate, as a view's handler receives it: its attributes are those of the library's event."""

    of: ClassVar[type[Any]]
    """The library's type."""

    data: dict[str, Any]
    """Its attributes, without those that say where it stands; a `RecordedEvent` has these."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self.data[name]
        except KeyError:
            raise AttributeError(f"event {type(self).schema.name!r} has no {name!r}") from None


class AggregateHistory:
    """The events of one aggregate, which are folded once its id is known. It is never changed in place."""

    __slots__ = ("_folded", "_last")

    def __init__(self, before: AggregateHistory | None = None, event: AggregateEvent | None = None) -> None:
        self._last = None if before is None or event is None else (before, event)
        self._folded: AnyAggregate | None = None

    def __deepcopy__(self, _: dict[int, Any]) -> AggregateHistory:
        return self

    def aggregate(self, id_: UUID | str) -> AnyAggregate | None:
        """Return the aggregate, which the caller may change; None if there are no events."""
        return deepcopy(self._fold(id_))

    def _fold(self, id_: UUID | str) -> AnyAggregate | None:
        """Fold the events since the latest history that was folded. What is folded needs its events no more."""
        ahead: list[AggregateEvent] = []
        place = self
        while place._folded is None and place._last is not None:
            place, event = place._last
            ahead.append(event)
        aggregate = deepcopy(place._folded)
        for event in reversed(ahead):
            version = 1 if aggregate is None else aggregate.version + 1
            aggregate = _domain_event(event, id_, version).mutate(aggregate)
        self._folded, self._last = aggregate, None
        return aggregate


class AggregateParticipant(Participant[AggregateHistory]):
    """The aggregates of an application that lives in the ledger, as commands of local steps and views find them.

    - `aggregates`: their classes;
    - `commands`: each command type, with the function that returns the id of the aggregate it goes to: a UUID; with
      `category`, the key of an aggregate whose id is the text `<category>-<key>`;
    - `decide(aggregate, command)`: calls the aggregate, or makes it, and returns it; raises `Refused` to refuse. The
      times of its events become those of the append;
    - `mapper`: the application's, if it compresses, encrypts or has transcodings of its own;
    - `topics`: topics that older events are stored under, each with the class that reads them now.
    """

    keeps_snapshots = False

    def __init__(
        self,
        *aggregates: type[AnyAggregate],
        commands: Mapping[type[Command], Callable[[Any], UUID | str]] | None = None,
        decide: DecideWith | None = None,
        category: str = UUID_CATEGORY,
        mapper: Mapper[Any] | None = None,
        topics: Mapping[str, type[Any]] | None = None,
    ) -> None:
        if bool(commands) is not (decide is not None):
            raise DefinitionError("an aggregate participant needs `commands` and `decide` together, or neither")
        self._ids = dict(commands or {})
        self._mapper = mapper if mapper is not None else _plain_mapper()
        self._types: dict[type[Any], type[AggregateEvent]] = {}
        named = {get_topic(class_): class_ for aggregate in aggregates for class_ in _event_classes(aggregate)}
        made = [self._made(topic, class_) for topic, class_ in (named | dict(topics or {})).items()]
        for type_ in made:
            if get_topic(type_.of) == type_.schema.name:
                self._types[type_.of] = type_
        self._decide_with: DecideWith = decide or _nothing
        super().__init__(
            category,
            initial=AggregateHistory(),
            state_type=AggregateHistory,
            events=made,
            commands={command: _text_of(id_) for command, id_ in self._ids.items()},
            decide=self._decided,
            evolve=AggregateHistory,  # type: ignore[arg-type]  # every event of these streams is an AggregateEvent
        )

    def event_type(self, of: type[Any]) -> type[AggregateEvent]:
        """Return the type under which a view folds an event of the library. Raises `DefinitionError`."""
        found = self._types.get(of)
        if found is None:
            raise DefinitionError(f"{get_topic(of)} is no event of the aggregates of this participant: it has "
                                  f"{', '.join(sorted(get_topic(each) for each in self._types))}")  # fmt: skip
        return found

    def stream_of(self, command: Command) -> str:
        """Return the id of the stream that a command goes to: that of its aggregate."""
        return str(self._id_of(command))

    def _id_of(self, command: Command) -> UUID | str:
        given = self._ids[type(command)](command)
        if self.category != UUID_CATEGORY:
            return f"{self.category}-{given}"
        return given if isinstance(given, UUID) else UUID(given)

    def _decided(self, history: AggregateHistory, command: Command, at: datetime) -> Sequence[Event]:
        id_ = self._id_of(command)
        before = history.aggregate(id_)
        aggregate = self._decide_with(before, command)
        if aggregate is None:
            return ()
        events = list(aggregate.collect_events())
        if events and aggregate.id != id_:
            raise DefinitionError(
                f"{type(command).__qualname__} goes to the aggregate {id_}, and `decide` returned {aggregate.id}: make "
                "it with this id (create_id)"
            )
        return [self._recorded(each, at) for each in events]

    def _recorded(self, event: Any, at: datetime) -> AggregateEvent:
        """Return an event as it is recorded: with the time of the append."""
        type_ = self.event_type(type(event))
        data = {name: value for name, value in vars(event).items() if name not in _PLACE}
        return type_(at=at, data=data | {"timestamp": at})

    def _made(self, topic: str, class_: type[Any]) -> type[AggregateEvent]:
        """Return the event type that is stored under a topic."""
        check_stored_name(topic, "event")
        if topic.startswith("__main__:"):
            raise DefinitionError(
                f"{topic} would be the stored name of an event, and another program could not read it: define "
                f"{class_.__qualname__} in a module that this program imports, or give it a TOPIC"
            )
        made: Any = types.new_class(f"{class_.__qualname__}Event", (AggregateEvent,), {"frozen": True})
        made.of = class_
        made.schema = Schema(topic, _SCHEMA_VERSION, {}, _StoredForm(self._mapper, made))
        found: type[AggregateEvent] = made
        return found


class _StoredForm:
    """Writes and reads an event as the library's mapper does."""

    def __init__(self, mapper: Mapper[Any], type_: type[AggregateEvent]) -> None:
        self._mapper = mapper
        self._type = type_

    def encode(self, event: Any) -> bytes:
        """Return the stored bytes of an event."""
        return self._mapper.to_stored_event(_domain_event(event, _NOWHERE, 0)).state

    def decode(self, state: bytes) -> Event:
        """Return the event in stored bytes, upcast by its class."""
        stored = StoredEvent(_NOWHERE, 0, self._type.schema.name, state)
        event: Any = self._mapper.to_domain_event(stored)
        data = {name: value for name, value in vars(event).items() if name not in _PLACE}
        return self._type(at=data["timestamp"], data=data)


def _nothing(_: Any, __: Any) -> None:
    """Decide nothing: the participant takes no commands."""


def _text_of(id_: Callable[[Any], UUID | str]) -> Callable[[Any], str]:
    return lambda command: str(id_(command))


def _domain_event(event: AggregateEvent, id_: UUID | str, version: int) -> Any:
    """Return the library's event, at a place. An aggregate may keep and change what it finds in it."""
    made = object.__new__(event.of)
    fields = deepcopy(event.data) | {"originator_id": id_, "originator_version": version}
    object.__setattr__(made, "__dict__", fields)
    return made


def _event_classes(aggregate: type[AnyAggregate]) -> Iterable[type[Any]]:
    """Yield the classes of an aggregate's events, those that it inherits included."""
    for class_ in aggregate.__mro__:
        for value in vars(class_).values():
            if isinstance(value, type) and issubclass(value, CanMutateAggregate):
                yield value


def _plain_mapper() -> Mapper[Any]:
    """Return the mapper of an application without settings of its own."""
    transcoder = JSONTranscoder()
    for transcoding in (UUIDAsHex(), DecimalAsStr(), DatetimeAsISO()):
        transcoder.register(transcoding)
    return Mapper(transcoder)
