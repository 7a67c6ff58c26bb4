"""A projection whose table was changed under the same version is told as that, and harms no other program."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text, text

from sagaledger.domain.recorded_event import RecordedEvent
from sagaledger.domain.shop.order import OrderCreated
from sagaledger.infrastructure.errors import ProjectionChanged
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.context import LedgerContext
from sagaledger.infrastructure.ledger.view_verification import verify_view_records
from sagaledger.infrastructure.read_models.filter import Filter
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.read_models.rebuild import rebuild
from sagaledger.infrastructure.read_models.tables import install
from sagaledger.projections.projection import Projection, Row

from .conftest import MakeProjector
from .shop import Shop

PATIENCE_SECONDS = 30.0


def buyers(*more: Any, orders: Column[Any] | None = None, key: Sequence[str] = ("customer_id",)) -> Projection:
    """A view of each customer's orders, with further columns and indexes."""
    view = Projection(
        "buyers",
        version=1,
        table=Table(
            "buyers",
            MetaData(),
            Column("customer_id", Text, primary_key="customer_id" in key),
            Column("orders", BigInteger, nullable=False) if orders is None else orders,
            *more,
        ),
        initial=lambda customer_id: {"customer_id": customer_id, "orders": 0},
    )

    @view.on(OrderCreated, key=lambda recorded: recorded.event.customer_id)
    def created(row: Row, _event: OrderCreated, _: RecordedEvent) -> Row:
        return {**row, "orders": row["orders"] + 1}

    return view


CHANGED = [
    (buyers(Column("country", Text)), "column 'country' is declared, and the table has none"),
    (
        buyers(Column("country", Text), orders=Column("placed", BigInteger)),
        "the table has column 'orders', which is not declared",
    ),
    (
        buyers(orders=Column("orders", Integer, nullable=False)),
        "column 'orders' is declared as INTEGER NOT NULL, and was BIGINT NOT NULL",
    ),
    (
        buyers(orders=Column("orders", BigInteger)),
        "column 'orders' is declared as BIGINT, and was BIGINT NOT NULL",
    ),
    (
        buyers(Index("buyers_orders", "orders")),
        "index 'buyers_orders' is declared, and the table has none of that name",
    ),
    (
        buyers(Column("region", Text, primary_key=True), key=("region",)),
        "its primary key is declared as region, and was customer_id",
    ),
]


def test_a_changed_table_names_the_view_what_changed_and_the_remedy(
    shop: Shop, log: Backend, make_projector: MakeProjector
) -> None:
    """Before it folds anything; the program that made the table goes on."""
    shop.trade(2)
    make_projector(buyers()).catch_up()

    for changed, difference in CHANGED:
        with pytest.raises(ProjectionChanged, match=r"view 'buyers' .* version 1 .*Declare it with version=2") as told:
            make_projector(changed).catch_up()
        assert difference in str(told.value)

    head = shop.trade(1)
    make_projector(buyers()).catch_up()
    answer = Queries(log, [buyers()]).query("buyers")
    assert (answer.as_of_position, sum(row["orders"] for row in answer.rows)) == (head, 3)


@pytest.mark.parametrize("changed", [changed for changed, _ in CHANGED[:2]], ids=["added", "replaced"])
def test_a_query_for_a_column_that_the_table_never_had_says_so(
    shop: Shop, log: Backend, make_projector: MakeProjector, changed: Projection
) -> None:
    """It is the program that changed, and the ledger is not damaged; whether rows are returned or streamed."""
    shop.trade(1)
    make_projector(buyers()).catch_up()
    queries = Queries(log, [changed])

    with pytest.raises(ProjectionChanged, match="is declared, and the table has none"):
        queries.query("buyers")
    with pytest.raises(ProjectionChanged), queries.rows("buyers", Filter()) as (_, rows):
        list(rows)


def test_a_changed_table_ends_a_worker_and_is_never_built_over_the_one_in_use(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector
) -> None:
    """A thread ends with the error, and neither a rebuild nor `init` replaces the table."""
    changed = buyers(Column("country", Text))
    shop.trade(1)
    make_projector(buyers()).catch_up()
    projector = make_projector(changed)

    projector.start()

    with pytest.raises(ProjectionChanged, match="'country'"):
        projector.ended.result(PATIENCE_SECONDS)
    for replace in (lambda: rebuild(log, codec, changed), lambda: install(log.views, [changed])):
        with pytest.raises(ProjectionChanged, match="'country'"):
            replace()
    (problem,) = verify_view_records(LedgerContext(log, App(projections=[changed])))
    assert "column 'country' is declared" in problem.problem


def test_a_ledger_of_an_earlier_release_is_compared_with_its_tables(
    shop: Shop, log: Backend, make_projector: MakeProjector
) -> None:
    """It has no declarations on record; those of its own program are put there, and nothing is built anew."""
    shop.trade(2)
    make_projector(buyers()).catch_up()
    with log.views.writing() as connection:
        connection.execute(text("DROP TABLE projection_declarations"))
        connection.execute(text("DROP TABLE projection_followers"))
    with pytest.raises(ProjectionChanged, match=re.escape("the table has column 'orders', which is not declared")):
        make_projector(buyers(orders=Column("placed", BigInteger))).catch_up()

    make_projector(buyers()).catch_up()

    assert Queries(log, [buyers()]).checkpoint("buyers").generation == 1
    with pytest.raises(ProjectionChanged, match="'orders' is declared as INTEGER"):
        make_projector(buyers(orders=Column("orders", Integer))).catch_up()
