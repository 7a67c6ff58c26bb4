"""A view that the database has can be read without the app that declares it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sagaledger.domain.errors import InvalidInput
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.read_models.rebuild import rebuild
from sagaledger.projections.projection import Row
from sagaledger.projections.shop import orders

from .shop import Shop


@pytest.fixture
def without_app(log: Backend) -> Queries:
    """Asks the views of a ledger of which only the sagas are declared."""
    return Queries(log, App().projections)


def _comparable(rows: list[Row]) -> list[Row]:
    """Rows with their times as times: on SQLite, those of an undeclared view are text."""
    return [
        {
            name: datetime.fromisoformat(value) if name.endswith("_at") and value else value
            for name, value in row.items()
        }
        if isinstance(row["placed_at"], str)
        else row
        for row in rows
    ]


def test_it_has_the_rows_columns_and_position_that_its_app_would_show(
    shop: Shop, projector: Projector, queries: Queries, without_app: Queries
) -> None:
    """Numbers are numbers; times are in UTC, or text that says so."""
    head = shop.trade(8)
    projector.catch_up()

    answer = without_app.query("orders", order=["-total_minor"], limit=5)

    declared = queries.query("orders", order=["-total_minor"], limit=5)
    assert _comparable(answer.rows) == declared.rows
    assert (answer.as_of_position, answer.head_position, answer.lag_events) == (head, head, 0)
    assert without_app.columns("orders") == queries.columns("orders")


def test_its_rows_are_found_by_the_text_of_their_values(
    shop: Shop, projector: Projector, without_app: Queries, log: Backend
) -> None:
    """Whole numbers as numbers, and times as the text that an answer shows."""
    shop.trade(5)
    projector.catch_up()
    first = without_app.query("orders", limit=1).rows[0]
    placed_at = first["placed_at"] if isinstance(first["placed_at"], str) else first["placed_at"].isoformat()

    found = without_app.query(
        "orders", where={"placed_at": placed_at, "total_minor": str(first["total_minor"]), "reason": first["reason"]}
    )

    assert found.rows == [first]
    if log.views.dialect.name == "postgresql":
        assert first["placed_at"].tzinfo is UTC
    else:
        assert first["placed_at"].endswith("+00:00")


def test_its_pages_put_together_are_the_whole_view(shop: Shop, projector: Projector, without_app: Queries) -> None:
    """The database knows the key, and where values may be missing."""
    shop.trade(11)
    projector.catch_up()
    whole = without_app.query("orders", order=["-closed_at"]).rows

    pages: list[Row] = []
    while page := without_app.query("orders", order=["-closed_at"], limit=4, after=pages[-1] if pages else None).rows:
        pages += page

    assert pages == whole
    assert len(pages) == 11


def test_the_views_on_record_are_listed_and_waited_for(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, without_app: Queries
) -> None:
    """Also while they are rebuilt, and whatever their generation."""
    token = shop.trade(2)
    assert {checkpoint.name for checkpoint in without_app.checkpoints()} == {p.name for p in App().projections}
    projector.catch_up()
    rebuild(log, codec, orders)

    assert {(c.name, c.generation) for c in without_app.checkpoints()} >= {("orders", 2), ("payments", 1)}
    assert len(without_app.query("orders", wait_for=token).rows) == 2


def test_what_needs_the_app_says_which_views_are_declared(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, without_app: Queries
) -> None:
    """And a view that is neither declared nor on record is refused with those there are."""
    shop.trade(1)
    projector.catch_up()

    with pytest.raises(InvalidInput, match=r"no view 'orders' that a loaded app declares: declared are .*sagas"):
        drift(without_app, log, codec, "orders")
    with pytest.raises(InvalidInput, match=r"no view 'ordres': there are .*orders, .*sagas"):
        without_app.query("ordres")
    with pytest.raises(InvalidInput, match="no column 'colour': it has order_id"):
        without_app.query("orders", where={"colour": "red"})


def test_the_sagas_keep_their_internal_columns_to_themselves(
    shop: Shop, projector: Projector, without_app: Queries
) -> None:
    """Every ledger declares them."""
    shop.trade(1)
    projector.catch_up()

    (row,) = without_app.query("sagas").rows

    assert tuple(row) == without_app.columns("sagas")
    assert "past_pivot" not in row
