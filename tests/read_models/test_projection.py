"""A projection folds events into rows, and rejects declarations that cannot work."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text

from sagaledger.domain.errors import DefinitionError
from sagaledger.domain.recorded_event import Meta, RecordedEvent
from sagaledger.domain.shop.inventory import StockReceived
from sagaledger.domain.shop.order import OrderCompleted
from sagaledger.projections.poison_event import PoisonEvent
from sagaledger.projections.projection import Projection, Row
from sagaledger.projections.saga import SAGA_PROJECTIONS
from sagaledger.projections.shop import SHOP_PROJECTIONS, inventory, orders

from .shop import OPENING


def _table(name: str, *columns: Column[object]) -> Table:
    return Table(name, MetaData(), *(columns or (Column("sku", Text, primary_key=True), Column("pieces", Integer))))


def _received(position: int, sku: str, quantity: int) -> RecordedEvent:
    event = StockReceived(OPENING, sku, quantity)
    return RecordedEvent(position, f"article-{sku}", position, event, f"article-{sku}", None, Meta(), OPENING)


@pytest.mark.parametrize(
    ("name", "table", "says"),
    [
        ("stock", _table("other"), "give it the name"),
        ("two words", _table("two words"), "letters, digits"),
        ("stock__rebuild", _table("stock__rebuild"), "single underscores"),
        ("stock", _table("stock", Column("sku", Text)), "primary key"),
        ("stock", _table("stock", Column("at", DateTime, primary_key=True)), "use text or an integer"),
    ],
)
def test_a_table_that_cannot_be_a_view_is_refused_when_it_is_declared(name: str, table: Table, says: str) -> None:
    """The error names the remedy."""
    with pytest.raises(DefinitionError, match=says):
        Projection(name, version=1, table=table)


def test_two_handlers_for_one_event_are_refused() -> None:
    """Their order would depend on the order of imports."""
    stock = Projection("stock", version=1, table=_table("stock"))
    stock.on(StockReceived, key=lambda recorded: recorded.event.sku)(lambda row, _event, _recorded: row)

    with pytest.raises(DefinitionError, match="already handles StockReceived"):
        stock.on(StockReceived, key=lambda recorded: recorded.event.sku)(lambda row, _event, _recorded: row)


def test_a_batch_leaves_each_changed_row_once() -> None:
    """A row that several events of a batch touch is written once, as the last event left it."""
    touches = inventory.touches([_received(1, "a", 5), _received(2, "b", 1), _received(3, "a", 2)])

    change = inventory.fold(touches, {})

    assert [(row["sku"], row["on_hand"]) for row in change.written] == [("a", 7), ("b", 1)]
    assert change.deleted == []


def test_a_handler_leaves_the_row_that_it_was_given_as_it_was() -> None:
    """A fold that failed can be repeated from the same rows."""
    before: dict[tuple[str, ...], Row] = {
        ("a",): inventory.fold(inventory.touches([_received(1, "a", 5)]), {}).written[0]
    }

    inventory.fold(inventory.touches([_received(2, "a", 2)]), before)

    assert before["a",]["on_hand"] == 5


def test_an_event_that_needs_a_row_which_does_not_exist_is_named_with_its_position() -> None:
    """The event is not skipped: the view would then be wrong without a sign of it."""
    completed = RecordedEvent(7, "order-1", 2, OrderCompleted(OPENING, "1"), "order-1", None, Meta(), OPENING)

    with pytest.raises(PoisonEvent, match=r"'orders' cannot fold event 7 \(OrderCompleted\)") as caught:
        orders.fold(orders.touches([completed]), {})

    assert caught.value.position == 7


@pytest.mark.parametrize(
    ("row", "says"),
    [({"sku": "a", "colour": "red"}, "colour"), ({"sku": "b"}, "another key")],
)
def test_a_row_that_the_table_cannot_hold_stops_the_fold_at_its_event(row: Row, says: str) -> None:
    """A mistyped column is reported at the first event, and not silently left out."""
    stock = Projection("stock", version=1, table=_table("stock"))
    stock.on(StockReceived, key=lambda recorded: recorded.event.sku)(lambda _row, _event, _recorded: row)

    with pytest.raises(PoisonEvent, match=says):
        stock.fold(stock.touches([_received(1, "a", 5)]), {})


def _with_finish(finish: Callable[[Row], Row]) -> Projection:
    """A view of the pieces received, whose rows pass through `finish`."""
    stock = Projection("stock", version=1, table=_table("stock"), finish=finish)

    @stock.on(StockReceived, key=lambda recorded: recorded.event.sku)
    def received(row: Row | None, event: StockReceived, _: RecordedEvent) -> Row:
        return {"sku": event.sku, "pieces": (0 if row is None else row["pieces"]) + event.quantity}

    return stock


def test_finish_is_applied_once_to_each_row_that_a_batch_changed() -> None:
    """A handler receives rows of its own batch as handlers left them, and stored rows as they were finished."""
    stock = _with_finish(lambda row: {**row, "pieces": -row["pieces"]})

    first = stock.fold(stock.touches([_received(1, "a", 5), _received(2, "b", 1), _received(3, "a", 2)]), {})
    stored = {(row["sku"],): row for row in first.written}
    second = stock.fold(stock.touches([_received(4, "a", 10)]), stored)

    assert first.written == [{"sku": "a", "pieces": -7}, {"sku": "b", "pieces": -1}]
    assert second.written == [{"sku": "a", "pieces": -3}]


@pytest.mark.parametrize(
    ("finish", "says"),
    [(lambda row: row["colour"], "KeyError: 'colour'"), (lambda row: {**row, "colour": "red"}, "returned colour")],
)
def test_a_finish_that_fails_is_named_with_the_latest_event_of_its_row(finish: Callable[[Row], Row], says: str) -> None:
    """The events before that one can still be folded."""
    stock = _with_finish(finish)
    touches = stock.touches([_received(1, "a", 5), _received(2, "a", 2), _received(3, "b", 1)])

    with pytest.raises(PoisonEvent, match=says) as caught:
        stock.fold(touches, {})

    assert caught.value.position == 2


@pytest.mark.parametrize("projection", [*SAGA_PROJECTIONS, *SHOP_PROJECTIONS], ids=lambda p: p.name)
def test_a_built_in_view_has_the_columns_that_are_promised(projection: Projection) -> None:
    """The table is a public schema: queries that use it keep working."""
    assert PROMISED[projection.name] <= set(projection.columns)


PROMISED = {
    "decisions": {
        "saga_id", "version", "position", "decided_at", "action", "step", "direction", "signal", "actor", "reason",
    },
    "sagas": {
        "saga_id", "definition", "version", "style", "status", "correlation_id", "started_at", "updated_at",
        "ended_at", "current_step", "failed_step", "error", "events",
    },
    "saga_steps": {
        "saga_id", "step", "direction", "attempt", "status", "started_at", "ended_at", "error", "worker",
        "idempotency_key",
    },
    "orders": {
        "order_id", "saga_id", "customer_id", "country", "status", "lines", "total_minor", "currency", "placed_at",
    },
    "inventory": {"sku", "received", "on_hand", "reserved", "shipped", "returned"},
    "payments": {
        "payment_id", "order_id", "customer_id", "status", "captured_minor", "refunded_minor", "currency",
    },
    "shipments": {"order_id", "status", "tracking_number"},
    "loyalty": {"customer_id", "points"},
    "interventions": {"saga_id", "step", "cause", "status", "actor", "reason"},
}  # fmt: skip
