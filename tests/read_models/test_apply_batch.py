"""However a history is cut into batches, a view comes out the same; and `sagas` says what the saga's state says."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from sqlalchemy import Column, Integer, MetaData, Table, Text

from sagaledger.domain.event import Event
from sagaledger.domain.recorded_event import Meta, RecordedEvent
from sagaledger.domain.saga.events import (
    Action,
    CancelRequested,
    CompensationFailed,
    CompensationStarted,
    DeadlineExceeded,
    Direction,
    Effect,
    Failure,
    InterventionRequired,
    InterventionResolved,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    SignalReceived,
    StepCompensated,
    StepFailed,
    StepOutcomeUnknown,
    StepStarted,
    StepSucceeded,
    TimerFired,
    Wait,
    WaitKind,
)
from sagaledger.domain.saga.evolve import evolve
from sagaledger.domain.saga.state import SagaState
from sagaledger.domain.shop.order import OrderCancelled, OrderCompleted, OrderCreated
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.shop.app import APP
from sagaledger.projections.projection import Key, Projection, Row
from sagaledger.projections.saga import SAGA_PROJECTIONS, sagas
from sagaledger.projections.shop import SHOP_PROJECTIONS, orders

from .conftest import MakeProjector
from .shop import OPENING, Shop

NULL = Raw(b"null")
FAILURE = Failure("TimeoutError", "no answer")
STEPS = st.sampled_from(["reserve", "pay", "ship"])
DIRECTIONS = st.sampled_from(Direction)
LATER = st.sampled_from([None, OPENING + timedelta(minutes=1)])
WAITS = st.sampled_from([None, Wait(WaitKind.TIMER, None, OPENING), Wait(WaitKind.SIGNAL, "approved")])
EFFECTS = st.sampled_from(Effect)


def _fact(type_: type[Event], *fields: object) -> st.SearchStrategy[Event]:
    strategies = [field if isinstance(field, st.SearchStrategy) else st.just(field) for field in fields]
    return st.builds(lambda *values: type_(OPENING, *values), *strategies)


FACTS = st.one_of(
    _fact(StepStarted, STEPS, 1, "key", WAITS),
    _fact(StepSucceeded, STEPS, 1, NULL, st.booleans()),
    _fact(StepFailed, STEPS, 1, FAILURE, EFFECTS, True, LATER),
    _fact(StepOutcomeUnknown, STEPS, 1, DIRECTIONS, None, LATER),
    _fact(CompensationStarted, STEPS, 1, "key"),
    _fact(StepCompensated, STEPS, 1, NULL),
    _fact(CompensationFailed, STEPS, 1, FAILURE, EFFECTS, True, LATER),
    _fact(SignalReceived, "approved", NULL, "ann", None, st.booleans()),
    _fact(TimerFired, STEPS, OPENING),
    _fact(DeadlineExceeded, OPENING),
    _fact(CancelRequested, "ann", "changed her mind"),
    _fact(InterventionRequired, STEPS, DIRECTIONS, "stuck"),
    _fact(InterventionResolved, STEPS, DIRECTIONS, st.sampled_from(Action), "ann", "looked", None, st.booleans()),
    _fact(SagaCompleted, NULL),
    _fact(SagaCompensated, "declined"),
)


def _recorded(position: int, event: Event) -> RecordedEvent:
    return RecordedEvent(position, "fulfil_order-1", position, event, "fulfil_order-1", None, Meta(), OPENING)


def _fold(projection: Projection, events: list[RecordedEvent], cuts: list[int]) -> dict[Key, Row]:
    """Fold a history that is cut into batches at these places."""
    rows: dict[Key, Row] = {}
    edges = [0, *sorted(cuts), len(events)]
    for start, end in pairwise(edges):
        change = projection.fold(projection.touches(events[start:end]), rows)
        rows.update({tuple(row[column] for column in projection.key_columns): row for row in change.written})
        for key in change.deleted:
            del rows[key]
    return rows


@settings(max_examples=300, deadline=None)
@given(LATER, st.lists(FACTS, max_size=25))
def test_sagas_shows_the_status_of_the_sagas_state_after_every_fact(
    begins_at: datetime | None, facts: list[Event]
) -> None:
    """The view and the kernel never disagree, whatever happens to a saga."""
    state, rows = SagaState("fulfil_order-1"), {}
    started = SagaStarted(OPENING, "fulfil_order", 1, "f1", Raw(b"{}"), begins_at=begins_at)

    for position, event in enumerate([started, *facts], start=1):
        state = evolve(state, event)
        change = sagas.fold(sagas.touches([_recorded(position, event)]), rows)
        (row,) = change.written
        rows = {("fulfil_order-1",): row}

        assert (row["status"], row["events"]) == (state.status.value, state.version)
        assert row["ended_at"] == state.ended_at


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> list[RecordedEvent]:
    """A day of the shop, as it was recorded."""
    log = open_backend(f"sqlite:///{tmp_path_factory.mktemp('history') / 'ledger.db'}", create=True)
    shop = Shop(log, articles=5)
    shop.open()
    shop.trade(25)
    recorded = [Codec(APP.registry).decode(row) for row in log.read(0, limit=10_000)]
    log.close()
    return recorded


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_batches_of_any_size_leave_the_rows_that_one_event_at_a_time_leaves(
    history: list[RecordedEvent], data: st.DataObject
) -> None:
    """A batch is an economy, not a meaning."""
    cuts = data.draw(st.lists(st.integers(0, len(history)), max_size=12))

    for projection in (*SAGA_PROJECTIONS, *SHOP_PROJECTIONS):
        assert _fold(projection, history, cuts) == _fold(projection, history, list(range(len(history))))


def test_the_database_has_the_rows_that_a_fold_in_memory_gives(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector, queries: Queries
) -> None:
    """What is read back is what was folded: times, amounts, names, and the absence of each."""
    shop.trade(25)
    make_projector(batch_events_max=13).catch_up()
    recorded = [codec.decode(row) for row in log.read(0, limit=10_000)]

    for projection in (*SAGA_PROJECTIONS, *SHOP_PROJECTIONS):
        with queries.snapshot(projection) as (connection, _):
            found = [dict(row) for row in connection.execute(projection.table.select()).mappings()]
        key = projection.key_columns
        assert {tuple(row[k] for k in key): row for row in found} == _fold(projection, recorded, [])


def test_an_event_may_touch_several_rows_and_remove_others(
    shop: Shop, log: Backend, make_projector: MakeProjector, queries: Queries
) -> None:
    """An event whose key is a list touches each of its rows; a handler that gives None removes one."""
    waiting = Projection(
        "waiting",
        version=1,
        table=Table("waiting", MetaData(), Column("place", Text, primary_key=True), Column("orders", Integer)),
        initial=lambda place: {"place": place, "orders": 0},
    )

    @waiting.on(OrderCreated, key=lambda recorded: [recorded.event.order_id, "everywhere"])
    def came(row: Row, _: OrderCreated, __: RecordedEvent) -> Row:
        return {**row, "orders": row["orders"] + 1}

    @waiting.on(OrderCompleted, OrderCancelled, key=lambda recorded: recorded.event.order_id)
    def went(_: Row, __: Event, ___: RecordedEvent) -> None:
        return None

    shop.trade(25)
    make_projector(waiting, orders, batch_events_max=30).catch_up()

    asking = Queries(log, [waiting])
    found = {row["place"]: row["orders"] for row in asking.query("waiting").rows}
    pending = [row["order_id"] for row in queries.query("orders", where={"status": "pending"}).rows]
    assert found == {"everywhere": 25, **dict.fromkeys(pending, 1)}
    assert 0 < len(pending) < 25
