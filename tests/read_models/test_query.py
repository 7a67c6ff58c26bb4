"""An answer says which position it belongs to, and can be made to include the caller's own writes (G10)."""

from __future__ import annotations

from datetime import UTC, timedelta
from threading import Timer
from time import sleep

import pytest
from sqlalchemy import text

from sagaledger.domain.errors import InvalidInput
from sagaledger.domain.shop.inventory import StockReceived
from sagaledger.infrastructure.errors import TimedOut
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.read_models import checkpoints
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries

from .shop import OPENING, Shop


def test_an_answer_before_anything_was_folded_is_empty_and_says_how_far_behind_it_is(
    shop: Shop, queries: Queries
) -> None:
    """The lag tells an empty view from a late one."""
    head = shop.trade(3)

    answer = queries.query("orders")

    assert (answer.view, answer.rows, answer.as_of_position) == ("orders", [], 0)
    assert (answer.head_position, answer.lag_events) == (head, head)
    assert answer.lag_seconds >= 0


def test_an_answer_at_the_head_has_no_lag(shop: Shop, projector: Projector, queries: Queries) -> None:
    """A view that has caught up is at the head."""
    head = shop.trade(5)
    projector.catch_up()

    answer = queries.query("orders")

    assert (answer.as_of_position, answer.head_position, answer.lag_events, answer.lag_seconds) == (head, head, 0, 0.0)
    assert len(answer.rows) == 5


def test_a_query_with_a_token_waits_until_the_view_includes_it(
    shop: Shop, projector: Projector, queries: Queries
) -> None:
    """A caller can read its own writes."""
    projector.catch_up()
    token = shop.trade(4)
    later = Timer(0.05, projector.catch_up)
    later.start()

    answer = queries.query("orders", wait_for=token, timeout_seconds=20)

    later.join()
    assert answer.as_of_position >= token
    assert len(answer.rows) == 4


def test_a_query_whose_token_is_not_reached_times_out_and_says_where_the_view_stands(
    shop: Shop, queries: Queries
) -> None:
    """No answer is better than one that leaves out what was asked for."""
    token = shop.trade(1)

    with pytest.raises(TimedOut, match=f"'orders' is at position 0, and did not reach {token}"):
        queries.query("orders", wait_for=token, timeout_seconds=0.05)


def test_a_token_is_reached_with_its_own_event_and_not_with_the_one_before(
    shop: Shop, projector: Projector, queries: Queries
) -> None:
    """The view is one event short of the second token."""
    reached = shop.trade(1)
    projector.catch_up()
    ahead = shop.write([("article-sku1", "article-sku1", StockReceived(OPENING, "sku1", 1))])

    queries.wait_for("inventory", reached, timeout_seconds=0.0)

    assert ahead == reached + 1
    with pytest.raises(TimedOut, match=f"'inventory' is at position {reached}, and did not reach {ahead}"):
        queries.wait_for("inventory", ahead, timeout_seconds=0.05)


def test_the_lag_is_the_age_of_the_first_event_that_is_not_in_the_view(
    shop: Shop, log: Backend, projector: Projector, queries: Queries
) -> None:
    """Not of the last one that is, nor of the last one of the log."""
    folded = shop.write([("article-sku1", "article-sku1", StockReceived(OPENING, "sku1", 1))])
    projector.catch_up()
    for _ in range(2):
        sleep(0.3)
        shop.write([("article-sku1", "article-sku1", StockReceived(OPENING, "sku1", 1))])
    last_in, first_behind, head = (row.recorded_at for row in log.read(folded - 1, limit=3))

    with log.views.reading() as connection:
        before = checkpoints.now(connection)
    lag_seconds = queries.query("inventory").lag_seconds
    with log.views.reading() as connection:
        after = checkpoints.now(connection)

    assert head - first_behind > timedelta(seconds=0.2) < first_behind - last_in
    slack = timedelta(milliseconds=2)  # SQLite's clock counts milliseconds
    assert before - first_behind - slack <= timedelta(seconds=lag_seconds) <= after - first_behind + slack


def test_rows_are_found_by_the_text_of_their_values(shop: Shop, projector: Projector, queries: Queries) -> None:
    """The command line has only text: numbers and times are read as their column's type."""
    shop.trade(5)
    projector.catch_up()
    first = queries.query("orders", limit=1).rows[0]

    found = queries.query(
        "orders",
        where={
            "order_id": first["order_id"],
            "total_minor": str(first["total_minor"]),
            "placed_at": first["placed_at"].isoformat().replace("+00:00", "Z"),
            "reason": first["reason"],
        },
    )

    assert found.rows == [first]
    assert first["placed_at"].tzinfo is UTC


@pytest.mark.parametrize(
    ("view", "asked", "says"),
    [
        ("ordres", {}, "there is no view 'ordres': there are dead_letters, decisions, findings, .*orders"),
        ("orders", {"where": {"colour": "red"}}, "no column 'colour': it has order_id, saga_id"),
        ("orders", {"where": {"lines": "many"}}, "'lines' of view 'orders' takes a whole number, not 'many'"),
        ("orders", {"where": {"placed_at": "soon"}}, "takes a time"),
        ("orders", {"order": ["-colour"]}, "no column 'colour'"),
        ("orders", {"limit": 0}, "1 to 10,000 rows"),
        ("sagas", {"where": {"parked": "x"}}, "no column 'parked'"),
    ],
)
def test_what_a_view_does_not_have_is_refused_with_what_it_has(
    queries: Queries, view: str, asked: dict[str, object], says: str
) -> None:
    """The error names the thing and the remedy."""
    with pytest.raises(InvalidInput, match=says):
        queries.query(view, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("order", [[], ["-placed_at"], ["customer_id"], ["-closed_at"], ["closed_at", "-order_id"]])
def test_pages_put_together_are_the_whole_view(
    shop: Shop, projector: Projector, queries: Queries, order: list[str]
) -> None:
    """No row appears twice or is left out, in any order, also where values are equal or missing."""
    shop.trade(23)
    projector.catch_up()
    whole = queries.query("orders", order=order, limit=100).rows

    pages: list[dict[str, object]] = []
    while page := queries.query("orders", order=order, limit=4, after=pages[-1] if pages else None).rows:
        pages += page

    assert pages == whole
    assert len(pages) == 23


def test_the_tables_can_be_read_with_plain_sql(
    shop: Shop, log: Backend, projector: Projector, queries: Queries
) -> None:
    """Sums are exact and comparisons are plain: amounts are integers, and times sort."""
    shop.trade(20)
    projector.catch_up()

    with log.views.reading() as connection:
        unbalanced = connection.execute(
            text("SELECT count(*) FROM inventory WHERE received <> on_hand + reserved + shipped - returned")
        ).scalar()
        captured = connection.execute(text("SELECT sum(captured_minor - refunded_minor) FROM payments")).scalar()

    assert unbalanced == 0
    assert captured == sum(row["captured_minor"] for row in queries.query("payments", limit=100).rows)
