"""Stored names and schema versions are a storage format: what was written yesterday reads today."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from sagaledger.domain.choreography.dead_letter import DEAD_LETTERS
from sagaledger.domain.choreography.service import SKIPPED_STEPS
from sagaledger.domain.errors import CorruptEvent, DefinitionError, NotSerialisable, UnknownEvent
from sagaledger.domain.event import Event, Registry, event
from sagaledger.domain.saga.events import SAGA_EVENTS, StepSucceeded
from sagaledger.domain.schedule.decide import SCHEDULE_CATALOG, SCHEDULES
from sagaledger.domain.shop import PARTICIPANTS

NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
GOLDEN = Path(__file__).with_name("golden_log.jsonl")


def _room_to_rooms(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "rooms": [fields.pop("room")]}


def _name_the_hotel(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "hotel": fields["hotel"].upper()}


@event("RoomBooked", version=3, upcasters={1: _room_to_rooms, 2: _name_the_hotel})
class RoomBooked(Event, frozen=True):
    """An event that was stored differently before, twice."""

    hotel: str
    rooms: list[int]


def test_older_versions_are_upcast_one_by_one() -> None:
    """Each upcaster leads to the next version."""
    registry = Registry([RoomBooked])
    booked = RoomBooked(NOON, "RITZ", [7])

    assert registry.decode("RoomBooked", 1, b'{"at":"2020-01-01T12:00:00Z","hotel":"ritz","room":7}') == booked
    assert registry.decode("RoomBooked", 2, b'{"at":"2020-01-01T12:00:00Z","hotel":"ritz","rooms":[7]}') == booked
    assert registry.decode("RoomBooked", 3, registry.encode(booked)) == booked


def test_a_version_without_an_upcaster_is_refused_when_declared() -> None:
    """Otherwise stored events would become unreadable."""
    with pytest.raises(DefinitionError, match="one upcaster for each version from 1 to 2"):
        event("RoomBooked", version=3, upcasters={2: _name_the_hotel})


def test_what_the_registry_does_not_know_is_an_error() -> None:
    """A name, or a version from the future: never a guess, never an import."""
    registry = Registry([RoomBooked])

    with pytest.raises(UnknownEvent, match="'RoomCancelled' schema version 1 is not registered"):
        registry.decode("RoomCancelled", 1, b"{}")
    with pytest.raises(UnknownEvent, match="this version reads 1 to 3: upgrade"):
        registry.decode("RoomBooked", 4, b"{}")


@pytest.mark.parametrize("state", [b"", b"{", b"[]", b'{"at":"noon","hotel":"x","rooms":[]}', b"\xff\xfe", b"null"])
@pytest.mark.parametrize("version", [1, 3])
def test_bytes_that_are_not_what_they_claim_are_corrupt(state: bytes, version: int) -> None:
    """The error names the event and what is wrong."""
    with pytest.raises(CorruptEvent, match="event 'RoomBooked' cannot be read"):
        Registry([RoomBooked]).decode("RoomBooked", version, state)


def test_a_stored_name_belongs_to_one_type() -> None:
    """Two types under one name could not be told apart; the same type twice is once."""

    @event("RoomBooked")
    class Another(Event, frozen=True):
        """A namesake."""

    registry = Registry([RoomBooked, RoomBooked])
    with pytest.raises(DefinitionError, match="the stored name 'RoomBooked' belongs to"):
        registry.add(Another)


def test_an_event_type_needs_a_stored_name_of_its_own() -> None:
    """A subclass does not inherit one: it would be read back as its parent."""

    class Nameless(RoomBooked, frozen=True):
        """Inherits the fields."""

    with pytest.raises(DefinitionError, match="decorate it with @event"):
        Registry([Nameless])


def test_a_value_that_is_not_json_is_refused_when_written() -> None:
    """Before it reaches the log."""
    with pytest.raises(NotSerialisable, match="'RoomBooked' cannot be written as JSON"):
        Registry([RoomBooked]).encode(RoomBooked(NOON, "RITZ", [object()]))  # type: ignore[list-item]


@event("Weighed", version=2, upcasters={1: lambda fields: {**fields, "kilograms": fields["grams"] / 1000}})
class Weighed(Event, frozen=True):
    """An event with numbers."""

    kilograms: float | None
    notes: Any = None
    pieces: int = 1
    raw: Raw = Raw(b"null")


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "lacking",
    [
        Weighed(NOON, NAN), Weighed(NOON, -INF), Weighed(NOON, 1.0, {"a": [INF]}), Weighed(NOON, None, {NAN: 1}),
        Weighed(NOON, 1.0, None, NAN),  # type: ignore[arg-type]  # as a sum may be, whatever its type
    ],
)  # fmt: skip
def test_a_number_that_json_lacks_is_refused_when_written(lacking: Weighed) -> None:
    """It would be read as nothing, or not at all."""
    with pytest.raises(NotSerialisable, match="'Weighed' has a number that JSON lacks"):
        Registry([Weighed]).encode(lacking)


@pytest.mark.parametrize(
    "kept",
    [
        Weighed(NOON, None), Weighed(NOON, 1.0, "NaN"), Weighed(NOON, 1e308, [None, {"nan": None}], 2**64),
        Weighed(NOON, 1.0, None, 10**30, Raw(b'{"a":null}')),
    ],
)  # fmt: skip
def test_what_looks_like_such_a_number_is_written_as_it_is(kept: Weighed) -> None:
    """A null that a user put in, the word NaN, and integers of any size."""
    registry = Registry([Weighed])

    assert registry.decode("Weighed", 2, registry.encode(kept)) == kept


def test_a_number_that_json_lacks_is_no_result_of_an_upcaster() -> None:
    """The event cannot be read, rather than read as another."""
    registry = Registry([Weighed])
    stored = b'{"at":"2020-01-01T12:00:00Z","grams":%s,"kilograms":null}'

    assert registry.decode("Weighed", 1, stored % b"500") == Weighed(NOON, 0.5)

    @event("Weighed", version=2, upcasters={1: lambda fields: {**fields, "kilograms": INF}})
    class Unbounded(Event, frozen=True):
        """The event of an upcaster that divides by nothing."""

        kilograms: float | None

    with pytest.raises(CorruptEvent, match="its upcaster returned a number that JSON lacks"):
        Registry([Unbounded]).decode("Weighed", 1, stored % b"500")


def test_what_a_user_put_in_is_kept_byte_for_byte() -> None:
    """A result is not parsed on its way through the log."""
    registry = Registry(SAGA_EVENTS)
    fact = StepSucceeded(NOON, "pay", 1, Raw(b'{"z": 1.10, "a": "\\u00e9"}'))

    assert registry.decode("StepSucceeded", 1, registry.encode(fact)) == fact


def _registry() -> Registry:
    participants = (*PARTICIPANTS, SKIPPED_STEPS, DEAD_LETTERS, SCHEDULES, SCHEDULE_CATALOG)
    return Registry([*SAGA_EVENTS, *(type_ for participant in participants for type_ in participant.events)])


def test_every_golden_event_still_reads() -> None:
    """The golden log holds one of each event in every version ever stored: none may change its meaning."""
    registry = _registry()

    for line in GOLDEN.read_text().splitlines():
        golden = json.loads(line)
        read = registry.decode(golden["topic"], golden["schema_version"], json.dumps(golden["state"]).encode())
        present = type(read).schema.version
        if golden["schema_version"] == present:
            assert json.loads(registry.encode(read)) == golden["state"], golden["topic"]


def test_the_golden_log_is_complete() -> None:
    """An event type, or a version of one, that is not in the golden log could be changed unseen."""
    golden = {(line["topic"], line["schema_version"]) for line in map(json.loads, GOLDEN.read_text().splitlines())}
    expected = {(t.schema.name, v) for t in _registry().types for v in range(1, t.schema.version + 1)}

    assert golden == expected
