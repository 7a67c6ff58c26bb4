"""A view has the same rows however the log is cut into batches."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, Text

from sagaledger.domain.event import Event
from sagaledger.domain.recorded_event import RecordedEvent
from sagaledger.domain.shop.order import OrderCancelled, OrderCompleted, OrderCreated
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.shop.app import APP
from sagaledger.projections.keys import Key
from sagaledger.projections.projection import Projection, Row
from sagaledger.projections.saga import SAGA_PROJECTIONS
from sagaledger.projections.shop import SHOP_PROJECTIONS, orders

from .conftest import MakeProjector
from .shop import Shop


def _fold(projection: Projection, events: list[RecordedEvent], cuts: list[int]) -> dict[Key, Row]:
    """Folds a history, cut into batches before the events with these indexes."""
    rows: dict[Key, Row] = {}
    edges = [0, *sorted(cuts), len(events)]
    for start, end in pairwise(edges):
        change = projection.fold(projection.touches(events[start:end]), rows)
        rows.update({tuple(row[column] for column in projection.key_columns): row for row in change.written})
        for key in change.deleted:
            del rows[key]
    return rows


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> list[RecordedEvent]:
    """The recorded events of a shop that worked 25 orders."""
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
    """Batches save work and change no row."""
    cuts = data.draw(st.lists(st.integers(0, len(history)), max_size=12))

    for projection in (*SAGA_PROJECTIONS, *SHOP_PROJECTIONS):
        assert _fold(projection, history, cuts) == _fold(projection, history, list(range(len(history))))


def test_the_database_has_the_rows_that_a_fold_in_memory_gives(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector, queries: Queries
) -> None:
    """The database returns each value as it was folded: times, amounts, texts and nulls."""
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
    """A list of keys touches each of its rows; a handler that returns None deletes a row."""
    waiting = Projection(
        "waiting",
        version=1,
        table=Table("waiting", MetaData(), Column("scope", Text, primary_key=True), Column("orders", Integer)),
        initial=lambda scope: {"scope": scope, "orders": 0},
    )

    @waiting.on(OrderCreated, key=lambda recorded: [recorded.event.order_id, "all"])
    def created(row: Row, _: OrderCreated, __: RecordedEvent) -> Row:
        return {**row, "orders": row["orders"] + 1}

    @waiting.on(OrderCompleted, OrderCancelled, key=lambda recorded: recorded.event.order_id)
    def closed(_: Row, __: Event, ___: RecordedEvent) -> None:
        return None

    shop.trade(25)
    make_projector(waiting, orders, batch_events_max=30).catch_up()

    waiting_queries = Queries(log, [waiting])
    found = {row["scope"]: row["orders"] for row in waiting_queries.query("waiting").rows}
    pending = [row["order_id"] for row in queries.query("orders", where={"status": "pending"}).rows]
    assert found == {"all": 25, **dict.fromkeys(pending, 1)}
    assert 0 < len(pending) < 25
