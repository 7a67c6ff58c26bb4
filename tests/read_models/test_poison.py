"""An event that cannot be folded stops its view in front of it, visibly, and no other (G12)."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import Column, Integer, MetaData, Table, Text

from sagaledger.domain.recorded_event import RecordedEvent
from sagaledger.domain.shop.order import OrderCancelled, OrderCreated
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall, Appended
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.event_store.event_row import NewEvent
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.shop.app import APP
from sagaledger.projections.column_types import UtcDateTime
from sagaledger.projections.projection import Projection, Row
from sagaledger.projections.shop import SHOP_PROJECTIONS, orders

from .conftest import MakeProjector
from .shop import OPENING, Shop


def _counts_order(broken: Callable[[RecordedEvent], bool], name: str = "order_counts") -> Projection:
    """A view that counts the orders of each country, and fails on some of them."""
    counts = Projection(
        name,
        version=1,
        initial=lambda country: {"country": country, "orders": 0},
        table=Table(
            name, MetaData(), Column("country", Text, primary_key=True), Column("orders", Integer, nullable=False)
        ),
    )

    @counts.on(OrderCreated, key=lambda recorded: recorded.event.country)
    def created(row: Row, _: OrderCreated, recorded: RecordedEvent) -> Row:
        if broken(recorded):
            raise ZeroDivisionError("no such luck")
        return {**row, "orders": row["orders"] + 1}

    return counts


def test_a_poison_event_stops_one_view_in_front_of_it_and_no_other(
    shop: Shop, log: Backend, make_projector: MakeProjector, caplog: pytest.LogCaptureFixture
) -> None:
    """The events before it count, those after it wait, and the checkpoint says why."""
    head = shop.trade(10)
    poison = next(row.position for row in log.read(0, limit=1000) if row.stream_id == "order-536006")
    counts = _counts_order(lambda recorded: recorded.position == poison)
    projector = make_projector(*SHOP_PROJECTIONS, counts)

    projector.catch_up()

    found = {checkpoint.name: checkpoint for checkpoint in projector.checkpoints()}
    assert (found["order_counts"].status, found["order_counts"].position) == ("stopped", poison - 1)
    assert found["order_counts"].stopped_at_position == poison
    assert "ZeroDivisionError: no such luck" in (found["order_counts"].error or "")
    assert (found["orders"].status, found["orders"].position) == ("live", head)
    queries = Queries(log, [counts])
    assert queries.query("order_counts").rows == [{"country": "France", "orders": 5}]
    [record] = caplog.records
    assert (record.levelname, record.view) == ("ERROR", "order_counts")  # type: ignore[attr-defined]
    assert record.getMessage().startswith(f"view order_counts is stopped before position {poison}: ")


def test_a_stopped_view_goes_on_when_it_is_resumed_and_its_code_was_mended(
    shop: Shop, log: Backend, make_projector: MakeProjector
) -> None:
    """No event was skipped: it goes on with the one that stopped it."""
    shop.trade(6)
    make_projector(_counts_order(lambda recorded: recorded.event.order_id == "536003")).catch_up()  # type: ignore[attr-defined]
    mended = _counts_order(lambda _: False)
    projector = make_projector(mended)
    projector.catch_up()
    assert projector.checkpoints()[0].status == "stopped"

    projector.resume("order_counts")
    projector.catch_up()

    queries = Queries(log, [mended])
    assert queries.query("order_counts").rows == [{"country": "France", "orders": 6}]
    assert projector.checkpoints()[0].error is None


def test_a_restart_tries_a_stopped_view_again(shop: Shop, log: Backend, make_projector: MakeProjector) -> None:
    """Deploying the corrected code is enough."""
    head = shop.trade(6)
    make_projector(_counts_order(lambda _: True)).catch_up()

    mended = _counts_order(lambda _: False)
    make_projector(mended).start()

    queries = Queries(log, [mended])
    queries.wait_for("order_counts", head, timeout_seconds=30)


def test_an_event_that_the_database_refuses_is_found_and_stops_the_view_in_front_of_it(
    shop: Shop, log: Backend, make_projector: MakeProjector
) -> None:
    """The statement carries a whole batch; the message still names the one event."""
    shop.trade(10)
    poison = next(row.position for row in log.read(0, limit=1000) if row.stream_id == "order-536006")
    last = Projection(
        "last_orders", version=1, table=Table("last_orders", MetaData(), Column("order_id", Text, primary_key=True),
                                              Column("lines", Integer, nullable=False)),
    )  # fmt: skip

    @last.on(OrderCreated, key=lambda recorded: recorded.event.order_id)
    def created(_: Row | None, event: OrderCreated, recorded: RecordedEvent) -> Row:
        return {"order_id": event.order_id, "lines": None if recorded.position == poison else event.lines}

    projector = make_projector(last, orders)
    projector.catch_up()

    stopped, going = sorted(projector.checkpoints())
    assert (stopped.status, stopped.position, stopped.stopped_at_position) == ("stopped", poison - 1, poison)
    assert "IntegrityError" in (stopped.error or "")
    assert (going.name, going.status) == ("orders", "live")
    queries = Queries(log, [last])
    assert len(queries.query("last_orders").rows) == 5


def test_a_value_of_another_type_than_its_column_stops_the_view_in_front_of_its_event(
    shop: Shop, log: Backend, make_projector: MakeProjector
) -> None:
    """A value that cannot be sent to the database is found in the same way as one that the database rejects."""
    shop.trade(3)
    first = next(row.position for row in log.read(0, limit=1000) if row.topic == "OrderCreated")
    placed = Projection(
        "placed", version=1, table=Table("placed", MetaData(), Column("order_id", Text, primary_key=True),
                                         Column("placed_at", UtcDateTime)),
    )  # fmt: skip

    @placed.on(OrderCreated, key=lambda recorded: recorded.event.order_id)
    def created(_: Row | None, event: OrderCreated, __: RecordedEvent) -> Row:
        return {"order_id": event.order_id, "placed_at": "yesterday"}

    projector = make_projector(placed)
    projector.catch_up()

    (checkpoint,) = projector.checkpoints()
    assert (checkpoint.status, checkpoint.stopped_at_position) == ("stopped", first)
    assert "column 'placed_at' takes a time" in (checkpoint.error or "")


def test_an_unreadable_event_stops_only_the_views_that_fold_it(
    shop: Shop, log: Backend, codec: Codec, projector: Projector
) -> None:
    """Bytes that are no order stop `orders`; stock and payments go on."""
    shop.trade(2)
    good = codec.encode("order-9", 1, OrderCancelled(OPENING, "9", "never mind"))
    bad = replace(good, state=b'{"at": "yesterday"}')
    position = _append(log, bad)
    head = shop.trade(2)

    projector.catch_up()

    found = {checkpoint.name: checkpoint for checkpoint in projector.checkpoints()}
    assert (found["orders"].status, found["orders"].position) == ("stopped", position - 1)
    assert "OrderCancelled" in (found["orders"].error or "")
    assert {s.name for s in found.values() if s.status == "live" and s.position == head} == {
        p.name for p in APP.projections
    } - {"orders"}


def test_an_event_of_a_kind_that_no_view_folds_stops_nothing(shop: Shop, log: Backend, projector: Projector) -> None:
    """It is not even decoded."""
    foreign = NewEvent("weather-1", 1, "ItRained", 3, b"not even JSON", None, None, "{}", bytes(32))
    _append(log, foreign)
    head = shop.trade(1)

    projector.catch_up()

    assert {(checkpoint.status, checkpoint.position) for checkpoint in projector.checkpoints()} == {("live", head)}


def _append(log: Backend, new: NewEvent) -> int:
    outcome = log.append(AppendCall(uuid4(), [Append([new])])).outcomes[0]
    assert isinstance(outcome, Appended)
    return outcome.last_position
