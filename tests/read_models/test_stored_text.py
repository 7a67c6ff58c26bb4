"""Text that PostgreSQL cannot store is shown escaped, on both databases alike, and stops no view."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec import Raw
from sqlalchemy import Column, MetaData, Table, Text, update

from sagaledger.domain.choreography.dead_letter import DeliveryFailed
from sagaledger.domain.event import Event
from sagaledger.domain.recorded_event import RecordedEvent
from sagaledger.domain.saga.event_parts import Failure
from sagaledger.domain.saga.events import (
    Action,
    CompensationStarted,
    Direction,
    Effect,
    InterventionRequired,
    InterventionResolved,
    SagaStarted,
    StepFailed,
    StepStarted,
)
from sagaledger.domain.shop.order import OrderCancelled, OrderCreated
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.read_models import checkpoints
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.read_models.rebuild import rebuild
from sagaledger.infrastructure.shop.app import APP
from sagaledger.projections.choreography import dead_letters
from sagaledger.projections.column_values import storable_text
from sagaledger.projections.projection import Projection, Row
from sagaledger.projections.saga import interventions, saga_steps, sagas
from sagaledger.projections.shop import orders

from .conftest import MakeProjector
from .past import rows_at
from .shop import OPENING, Entry, Shop

AFFECTED = ("sagas", "saga_steps", "interventions", "dead_letters", "orders")
ID, STEP = "bad-1", "pay\0now"
"""A step with such a name cannot be declared any more; version 0.1 recorded it."""


def _entries() -> list[Entry]:
    """Events with a NUL wherever version 0.1 accepted one."""
    events: Sequence[Event] = (
        SagaStarted(OPENING, "bad", 1, "f1", Raw(b"{}")),
        StepStarted(OPENING, STEP, 1, "key"),
        StepFailed(OPENING, STEP, 1, Failure("ValueError", "answered: a\0b"), Effect.NONE, False, None),
        InterventionRequired(OPENING, STEP, Direction.FORWARD, "gave\0up"),
        InterventionResolved(OPENING, STEP, Direction.FORWARD, Action.RETRY, "a\0nn", "be\0cause"),
        StepStarted(OPENING, STEP, 2, "key"),
        StepFailed(OPENING, STEP, 2, Failure("Value\0Error", "again\0"), Effect.NONE, False, None),
        CompensationStarted(OPENING, STEP, 1, "key"),
    )
    failed = DeliveryFailed(OPENING, "ser\0vice", 1, "OrderCreated", 1, Failure("ValueError", "a\0b"), None)
    return [
        *((ID, ID, event) for event in events),
        ("dead_letter-1", "order-1", failed),
        ("order-1", ID, OrderCreated(OPENING, "1\0", "c\0", "Fra\0nce", 1, 100, "GBP", OPENING)),
        ("order-1", ID, OrderCancelled(OPENING, "1\0", "never\0mind")),
    ]


@pytest.fixture
def head(log: Backend) -> int:
    """The position of the last of these events."""
    return Shop(log).write(_entries())


@pytest.mark.parametrize("batch_events_max", [1, 10_000])
def test_every_view_goes_on_and_shows_the_escape(
    head: int, log: Backend, codec: Codec, make_projector: MakeProjector, queries: Queries, batch_events_max: int
) -> None:
    """In values and in keys, within a batch and across batches; drift and time travel agree with the view."""
    projector = make_projector(batch_events_max=batch_events_max)
    projector.catch_up()

    assert {(found.status, found.position) for found in projector.checkpoints()} == {("live", head)}
    steps = queries.query("saga_steps", order=["-direction", "attempt"]).rows
    assert [(row["step"], row["direction"], row["error"]) for row in steps] == [
        ("pay␀now", "forward", "ValueError: answered: a␀b"),
        ("pay␀now", "forward", "Value␀Error: again␀"),
        ("pay␀now", "compensation", None),
    ]
    [intervention] = queries.query("interventions", where={"step": STEP}).rows
    assert (intervention["cause"], intervention["actor"], intervention["reason"]) == ("gave␀up", "a␀nn", "be␀cause")
    [order] = queries.query("orders").rows
    assert (order["order_id"], order["country"], order["reason"]) == ("1␀", "Fra␀nce", "never␀mind")
    [letter] = queries.query("dead_letters").rows
    assert (letter["service"], letter["error"]) == ("ser␀vice", "ValueError: a␀b")
    for view in AFFECTED:
        assert drift(queries, log, codec, view).count == 0
        assert len(rows_at(queries, log, codec, view, head)) == len(queries.query(view).rows)


@pytest.mark.parametrize("how", ["started", "rebuilt"])
def test_a_view_that_version_0_1_stopped_at_such_an_event_heals(
    head: int, log: Backend, codec: Codec, make_projector: MakeProjector, queries: Queries, how: str
) -> None:
    """A projector tries it again when it starts; a rebuild needs no projector."""
    projector = make_projector()
    projector.catch_up(upto=0)
    projector._install()
    with log.views.writing() as connection:
        connection.execute(
            update(checkpoints.PROJECTIONS)
            .where(checkpoints.PROJECTIONS.c.name.in_(AFFECTED))
            .values(status="stopped", error="DataError: text cannot contain NUL (0x00) bytes", stopped_at_position=3)
        )

    if how == "started":
        projector.start()
        for view in AFFECTED:
            queries.wait_for(view, head, timeout_seconds=30)
        projector.stop()
    else:
        for projection in (sagas, saga_steps, interventions, dead_letters, orders):
            rebuild(log, codec, projection)

    for view in AFFECTED:
        found = queries.checkpoint(view)
        assert (found.status, found.position, found.error) == ("live", head, None)
        assert drift(queries, log, codec, view).count == 0


def test_a_row_that_version_0_1_stored_as_it_was_is_no_drift(
    log: Backend, codec: Codec, make_projector: MakeProjector, queries: Queries
) -> None:
    """SQLite kept the character: such a row is what its events make."""
    if log.views.dialect.name != "sqlite":
        pytest.skip("PostgreSQL never stored it")
    Shop(log).write(_entries()[:5])
    make_projector().catch_up()
    with log.views.writing() as connection:
        connection.exec_driver_sql("UPDATE interventions SET cause = replace(cause, '␀', char(0))")

    assert drift(queries, log, codec, "interventions").count == 0


def test_lone_surrogates_of_a_handler_are_escaped_too(log: Backend, shop: Shop, make_projector: MakeProjector) -> None:
    """No event can hold one; a handler can make one."""
    shop.trade(1)
    notes = Projection(
        "notes", version=1, table=Table("notes", MetaData(), Column("id", Text, primary_key=True), Column("note", Text))
    )

    @notes.on(OrderCreated, key=lambda recorded: f"{recorded.event.order_id}\udc80")
    def created(_: Row | None, event: OrderCreated, __: RecordedEvent) -> Row:
        return {"id": f"{event.order_id}\udc80", "note": "é\ud800\0"}

    make_projector(notes).catch_up()

    assert Queries(log, [notes]).query("notes").rows == [{"id": "536001�", "note": "é�␀"}]


def test_any_other_text_is_stored_as_it_is() -> None:
    """Also characters beyond the basic plane, and backslashes."""
    text = "plain \\u0000 \\0 é 😀 \x01 \x7f \ufffd ␀"

    assert storable_text(text) == text


def test_every_topic_of_these_events_is_folded_by_a_view() -> None:
    """Otherwise they would prove nothing."""
    folded = {topic for projection in APP.projections for topic in projection.topics}

    assert {type(event).schema.name for _, _, event in _entries()} <= folded
