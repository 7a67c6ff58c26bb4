"""What a handler does to a list, a dict or a set in an event stays with its own view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, Text

from sagaledger.domain.event import Event, Registry, event
from sagaledger.domain.participant import Command, Participant
from sagaledger.domain.recorded_event import Meta, RecordedEvent
from sagaledger.domain.saga.events import SAGA_EVENTS
from sagaledger.domain.shop import PARTICIPANTS
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.context import LedgerContext
from sagaledger.infrastructure.ledger.stream_cache import AppendBuilder, StreamCache
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.projections.private_events import copy_of
from sagaledger.projections.projection import Projection, Row

from .conftest import MakeProjector

NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)


@event("BoxPacked")
class BoxPacked(Event, frozen=True):
    """An event with a list of things."""

    box: str
    things: list[str]


def _boxes(name: str, read: Callable[[BoxPacked], str]) -> Projection:
    """A view of boxes, with what `read` makes of each event."""
    columns = (Column("box", String(40), primary_key=True), Column("things", Text), Column("number", Integer))
    boxes = Projection(name, version=1, table=Table(name, MetaData(), *columns))

    @boxes.on(BoxPacked, key=lambda recorded: recorded.event.box)
    def packed(row: Row | None, event: BoxPacked, _: RecordedEvent) -> Row:
        number = 1 if row is None else row["number"] + 1
        things = read(event)
        if event.box == "bad":
            raise ValueError("not this one")
        return {"box": event.box, "things": things, "number": number}

    return boxes


def _greedy(event: BoxPacked) -> str:
    event.things.sort()
    event.things.append("stamp")
    return ",".join(event.things)


def _modest(event: BoxPacked) -> str:
    return ",".join(event.things)


@pytest.mark.parametrize("batch_events_max", [1, 3, 10_000])
def test_views_see_the_event_as_it_is_in_the_log(
    log: Backend, make_projector: MakeProjector, batch_events_max: int
) -> None:
    """Beside a view that changes it, and also where a batch is folded again because a later event is bad."""
    codec = Codec(Registry([BoxPacked]))
    boxes = [_boxes("before", _modest), _boxes("greedy", _greedy), _boxes("after", _modest)]
    packed = [BoxPacked(NOON, box, ["pen", "ink"]) for box in ("a", "a", "b", "bad", "c")]
    events = [codec.encode("boxes-1", version, event) for version, event in enumerate(packed, 1)]
    log.append(AppendCall(uuid4(), [Append(events)]))

    projector = make_projector(*boxes, batch_events_max=batch_events_max, codec=codec)
    projector.catch_up()

    queries = Queries(log, boxes)
    for view, things in (("before", "pen,ink"), ("greedy", "ink,pen,stamp"), ("after", "pen,ink")):
        assert queries.query(view, order=["box"]).rows == [
            {"box": "a", "things": things, "number": 2},
            {"box": "b", "things": things, "number": 1},
        ]
        assert drift(queries, log, codec, view).count == 0


class PackBox(Command, frozen=True):
    """Pack a box."""

    things: list[str]


def _spill(_: int, packed: Any) -> int:
    packed.things.clear()
    return 0


def test_an_event_is_stored_as_it_was_decided(log: Backend) -> None:
    """Whatever `evolve` does to it."""
    spilling = Participant(
        "boxes",
        initial=0,
        state_type=int,
        events=[BoxPacked],
        commands={PackBox: lambda _: "1"},
        decide=lambda _, pack, at: [BoxPacked(at, "a", pack.things)],
        evolve=_spill,
    )
    app = App(participants=[spilling])
    cache = StreamCache(app, log, LedgerContext(log, app).codec)

    def build() -> AppendBuilder:
        draft = cache.draft("packing", Meta())
        draft.handle([PackBox(["pen", "ink"])], NOON)
        return draft

    [draft] = cache.build([build])

    assert msgspec.json.decode(draft.events[0].state)["things"] == ["pen", "ink"]


@dataclass
class Loose:
    """A value whose fields can be set."""

    count: int


@dataclass(frozen=True)
class Firm:
    """One whose fields cannot, and that has a tuple."""

    counts: tuple[int, ...]


class Box(msgspec.Struct):
    """A struct that is not frozen."""

    count: int


class Sealed(msgspec.Struct, frozen=True):
    """A frozen struct, which may have something in it."""

    inner: Any = 1


@pytest.mark.parametrize(
    ("type_", "may_be_changed"),
    [
        (list[int], True), (dict[str, int], True), (set[int], True), (bytearray, True), (Any, True),
        (Sequence[int], True), (tuple[list[int], int], True), (Loose, True), (Box, True), (Sealed, True),
        (list[int] | None, True),
        (int, False), (str | None, False), (tuple[int, ...], False), (frozenset[str], False), (Firm, False),
        (tuple[Firm, ...] | None, False), (msgspec.Raw, False), (datetime, False),
    ],
)  # fmt: skip
def test_only_events_that_can_be_changed_are_copied(type_: Any, may_be_changed: bool) -> None:
    """A copy costs as much as reading the event."""
    with_field = msgspec.defstruct("WithField", [("field", type_)], bases=(Event,), frozen=True)

    assert (copy_of(with_field) is not None) == may_be_changed


def test_no_event_of_the_package_is_copied() -> None:
    """Their folding costs what it did."""
    types = [*SAGA_EVENTS, *(type_ for participant in PARTICIPANTS for type_ in participant.events)]

    assert [type_ for type_ in types if copy_of(type_) is not None] == []
