"""What happened between two moments: events, sagas, and the rows of views, on both backends."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from msgspec import Raw
from sqlalchemy import Column, MetaData, Table, Text

from sagaledger.domain.errors import InvalidInput
from sagaledger.domain.event import Event
from sagaledger.domain.recorded_event import RecordedEvent
from sagaledger.domain.saga.events import CancelRequested, SagaCompensated, SagaStarted
from sagaledger.domain.shop import PARTICIPANTS, SAGAS
from sagaledger.domain.shop.order import OrderCancelled, OrderCompleted, OrderCreated
from sagaledger.domain.shop.services import SERVICES
from sagaledger.infrastructure.errors import AppPartMissing
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.changes import SagaStatusChange
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.projections.projection import Projection, Row
from sagaledger.projections.shop import SHOP_PROJECTIONS

from ..read_models.past import rows_at
from ..read_models.shop import OPENING, Shop

open_orders = Projection(
    "open_orders",
    version=1,
    table=Table(
        "open_orders",
        MetaData(),
        Column("order_id", Text, primary_key=True),
        Column("country", Text),
        Column("note", Text),
    ),
)
"""A view whose rows come and go."""


@open_orders.on(OrderCreated, key=lambda recorded: recorded.event.order_id)
def created(_: Row | None, event: OrderCreated, __: RecordedEvent) -> Row | None:
    """A row for an order."""
    return {"order_id": event.order_id, "country": event.country, "note": None}


@open_orders.on(CancelRequested, key=lambda recorded: recorded.stream_id.removeprefix("fulfil_order-"))
def noted(row: Row | None, event: CancelRequested, _: RecordedEvent) -> Row | None:
    """What was noted, which may be nothing."""
    return None if row is None else {**row, "note": event.reason}


@open_orders.on(OrderCompleted, OrderCancelled, key=lambda recorded: recorded.event.order_id)
def closed(_: Row | None, event: Event, __: RecordedEvent) -> Row | None:
    """No row any more."""
    if event.at == OPENING:
        raise ValueError("no order is closed at the opening")
    return None


SHOP = App(
    sagas=SAGAS, participants=PARTICIPANTS, services=SERVICES, projections=[*SHOP_PROJECTIONS, open_orders]
)  # fmt: skip


@pytest.fixture
def shop(log: Backend) -> Shop:
    """A shop that traded a little."""
    shop = Shop(log, articles=5)
    shop.open()
    shop.trade(6)
    return shop


@pytest.fixture
def ledger(log: Backend, shop: Shop) -> Ledger:  # noqa: ARG001 -- it has traded
    """Its ledger; the fixture of the log closes it."""
    return Ledger(log, SHOP)


def _rows(ledger: Ledger, view: str, position: int) -> dict[tuple[object, ...], Row]:
    context = ledger.context
    keys = context.queries.projection(view).key_columns
    found = rows_at(context.queries, context.backend, context.codec, view, position)
    return {tuple(row[name] for name in keys): row for row in found}


def test_it_tells_the_difference_of_each_view_at_the_two_positions(log: Backend, ledger: Ledger) -> None:
    """Every row that differs, and no other; the events between the two; and what became of the sagas."""
    head = log.head().position
    random = Random(7)  # noqa: S311  # the same pairs each time

    for begin, end in [(0, head), sorted(random.sample(range(head + 1), 2))]:
        found = ledger.changes(f"@{begin}", f"@{end}", limit=1_000)

        assert (found.since.position, found.until.position) == (begin, end)
        rows = log.read(begin, limit=1_000, upto=end)
        assert found.events == Counter(row.topic for row in rows)
        assert [view.view for view in found.views] == [projection.name for projection in SHOP.projections]
        for view in found.views:
            old, new = _rows(ledger, view.view, begin), _rows(ledger, view.view, end)
            listed = {tuple(row.key.values()): row for row in view.rows}
            assert {key for key, row in listed.items() if row.before is None} == new.keys() - old.keys()
            assert {key for key, row in listed.items() if row.after is None} == old.keys() - new.keys()
            assert listed.keys() == {key for key in {**old, **new} if old.get(key) != new.get(key)}
            for key, row in listed.items():
                was = old.get(key, {})
                assert (row.before or was).items() <= was.items()
                assert {**was, **(row.after or {})} == new.get(key, was)
            assert len(listed) == view.count == view.added + view.changed + view.removed
        before = {saga_id: row["status"] for (saga_id,), row in _rows(ledger, "sagas", begin).items()}
        after = {saga_id: row["status"] for (saga_id,), row in _rows(ledger, "sagas", end).items()}
        listed_sagas = {saga.saga_id: (saga.before, saga.after) for saga in found.sagas.listed}
        assert listed_sagas == {
            saga_id: (before.get(saga_id), status) for saga_id, status in after.items() if before.get(saga_id) != status
        }
    assert found.not_compared == {}


def test_what_is_listed_is_bounded_and_everything_is_counted(ledger: Ledger) -> None:
    """The first rows by key, and the first sagas."""
    everything, few = ledger.changes("@0", limit=1_000), ledger.changes("@0", limit=2)

    for view, bounded in zip(everything.views, few.views, strict=True):
        assert (bounded.added, bounded.changed, bounded.removed) == (view.added, view.changed, view.removed)
        assert bounded.rows == view.rows[:2]
    assert (few.sagas.started, few.sagas.ended) == (everything.sagas.started, everything.sagas.ended)
    assert few.sagas.started == 6
    assert few.sagas.listed == everything.sagas.listed[:2]
    for limit in (0, 10_001):
        with pytest.raises(InvalidInput, match="1 to 10,000 rows"):
            ledger.changes("@0", limit=limit)


def test_a_saga_that_ends_is_told_with_its_status_before(shop: Shop, ledger: Ledger) -> None:
    """One that starts and one that ends; a value that was and is blank has not changed."""
    begin = shop.write([_own("x", SagaStarted(OPENING, "fulfil_order", 1, "f", Raw(b"{}")))])
    shop.write([("order-x", _id("x"), OrderCreated(OPENING, "x", None, "France", 1, 1, "GBP", OPENING))])
    noted = shop.write([_own("x", CancelRequested(OPENING, "ann", ""))])
    shop.write([_own("x", SagaCompensated(OPENING, "cancelled"))])
    shop.write([_own("y", SagaStarted(OPENING, "fulfil_order", 1, "f", Raw(b"{}")))])

    found = ledger.changes(f"@{begin}")
    note = ledger.changes(f"@{noted - 1}", f"@{noted}", views=["open_orders"])

    assert (found.sagas.started, found.sagas.ended, found.sagas.status_changed) == (1, 1, 1)
    assert found.sagas.listed == [
        SagaStatusChange(_id("x"), "fulfil_order", "running", "compensated"),
        SagaStatusChange(_id("y"), "fulfil_order", None, "running"),
    ]
    assert _rows(ledger, "open_orders", noted - 1)[("x",)]["note"] is None
    assert _rows(ledger, "open_orders", noted)[("x",)]["note"] == ""
    assert [(view.view, view.count) for view in note.views] == [("open_orders", 0)]
    assert (note.events, note.sagas.status_changed) == ({"CancelRequested": 1}, 1)


def _id(order_id: str) -> str:
    return f"fulfil_order-{order_id}"


def _own(order_id: str, event: Event) -> tuple[str, str, Event]:
    return _id(order_id), _id(order_id), event


def test_a_view_that_cannot_be_compared_is_left_out_with_the_reason(log: Backend, shop: Shop, ledger: Ledger) -> None:
    """One that cannot fold an event, and one that the app does not declare; the others are compared."""
    ledger.projector().catch_up()
    shop.write([("order-x", "order-x", OrderCreated(OPENING, "x", None, "France", 1, 1, "GBP", OPENING))])
    shop.write([("order-x", "order-x", OrderCancelled(OPENING, "x", "closed at the opening"))])

    found = ledger.changes("@0")
    without_app = Ledger(log, App()).changes("@0")

    assert "no order is closed at the opening" in found.not_compared["open_orders"]
    assert {view.view for view in found.views} == {p.name for p in SHOP.projections} - {"open_orders"}
    assert found.sagas.started == without_app.sagas.started == 6
    assert {"orders", "payments", "open_orders"} <= without_app.not_compared.keys()
    with pytest.raises(AppPartMissing, match="view 'orders' needs its projection"):
        Ledger(log, App()).changes("@0", views=["orders"])


def test_the_earlier_moment_comes_first_and_both_are_of_the_log(log: Backend, ledger: Ledger) -> None:
    """A version is one saga's."""
    head = log.head().position

    assert ledger.changes(f"@{head}").events == {}
    with pytest.raises(InvalidInput, match=f"the first moment is @{head}, after the second, which is @1"):
        ledger.changes(f"@{head}", "@1")
    with pytest.raises(InvalidInput, match="v2 is a version of one saga"):
        ledger.changes("v2")
    with pytest.raises(InvalidInput, match="beyond the end of the log"):
        ledger.changes("@0", f"@{head + 1}")
