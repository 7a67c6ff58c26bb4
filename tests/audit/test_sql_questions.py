"""Any SELECT is answered, now and at a moment, and nothing else is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sagaledger.domain.errors import InvalidInput
from sagaledger.domain.shop.order import OrderCancelled, OrderCreated
from sagaledger.domain.shop.payment import PaymentRefunded, PaymentSucceeded
from sagaledger.infrastructure.audit.sql_questions import ask_sql, ask_sql_at
from sagaledger.infrastructure.errors import AppPartMissing
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.context import LedgerContext
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.moment import Moment
from sagaledger.infrastructure.shop.app import APP as SHOP

from ..read_models.shop import OPENING, Shop

PAGE = Path(__file__).parents[2] / "docs" / "audit-questions.md"
CHARGED = """
  SELECT paid.saga_id, s.status, s.started_at
  FROM saga_steps paid JOIN sagas s ON s.saga_id = paid.saga_id
  WHERE paid.step = 'charge' AND paid.direction = 'forward' AND paid.status = 'succeeded'
  ORDER BY paid.saga_id
"""


def _now(context: LedgerContext, statement: str, limit: int = 100) -> list[dict[str, object]]:
    with ask_sql(context, statement, limit=limit) as found:
        return list(found.rows)


def _at(context: LedgerContext, statement: str, position: int) -> list[dict[str, object]]:
    with ask_sql_at(context, statement, Moment(position=position), limit=100) as found:
        return list(found.rows)


def test_an_answer_has_columns_rows_and_the_positions_of_its_views(context: LedgerContext) -> None:
    """A comment, a semicolon, and a percent sign are no trouble."""
    statement = (
        "SELECT status, count(*) AS number FROM sagas WHERE saga_id LIKE 'orders-%' GROUP BY status ORDER BY 1; "
    )
    with ask_sql(context, f"{statement}", limit=100) as found:
        assert found.columns == ("status", "number")
        assert found.positions == {"sagas": context.backend.head().position}
        assert list(found.rows) == [{"status": "compensated", "number": 2}, {"status": "completed", "number": 4}]
    assert len(_now(context, "SELECT saga_id FROM sagas -- all of them", limit=3)) == 3


def test_times_and_sums_are_the_same_on_both_databases(context: LedgerContext) -> None:
    """A time is one, and a sum of whole numbers is whole."""
    (row,) = _now(context, "SELECT min(started_at) AS first, sum(version) AS versions, avg(version) AS mean FROM sagas")

    assert row["first"] == context.queries.query("sagas", order=["started_at"], limit=1).rows[0]["started_at"]
    assert (row["versions"], row["mean"]) == (6, 1)
    assert isinstance(row["versions"], int)


def test_now_is_the_last_moment(context: LedgerContext) -> None:
    """A join of views is folded again as the views are."""
    assert _at(context, CHARGED, context.backend.head().position) == _now(context, CHARGED)
    assert len(_now(context, CHARGED)) == 5


def test_at_a_moment_all_views_know_the_same_events(context: LedgerContext) -> None:
    """At every position, a charge that succeeded belongs to a saga that the view of sagas has."""
    head = context.backend.head().position

    counts = [len(_at(context, CHARGED, position)) for position in range(0, head + 1, 3)]

    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 5)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM sagas",
        "SELECT 1) AS asked; DELETE FROM sagas; SELECT * FROM (SELECT 1",
        "SELECT 1; DELETE FROM sagas",
        "SELECT 1) AS asked; COMMIT; DELETE FROM sagas; --",
        "UPDATE sagas SET status = 'completed' RETURNING saga_id",
        "WITH gone AS (DELETE FROM sagas RETURNING saga_id) SELECT * FROM gone",
        "INSERT INTO sagas SELECT * FROM sagas",
        "PRAGMA query_only = OFF",
        "ATTACH 'other.db' AS other",
        "DROP TABLE sagas",
        "VACUUM",
        "SELECT 1 /*",
        "",
    ],
)
def test_nothing_but_a_query_is_run(context: LedgerContext, statement: str) -> None:
    """The error says what the database has to say, and everything is as it was."""
    before = _now(context, "SELECT * FROM sagas ORDER BY saga_id")

    with pytest.raises(InvalidInput, match="it must be one SELECT"):
        _now(context, statement)
    with pytest.raises(InvalidInput, match="it must be one SELECT"):
        _at(context, statement, 10)

    assert _now(context, "SELECT * FROM sagas ORDER BY saga_id") == before


def test_an_error_in_the_middle_of_an_answer_is_one_of_the_question(context: LedgerContext) -> None:
    """The database meets it when it has sent rows already, perhaps."""
    statement = "SELECT CAST(1 AS int) / CAST(version - 1 AS int) AS quotient FROM sagas"

    if context.backend.views.dialect.name == "sqlite":
        assert _now(context, statement)[0] == {"quotient": None}
    else:
        with pytest.raises(InvalidInput, match="division by zero"):
            _now(context, statement)


def test_two_columns_of_one_name_are_refused(context: LedgerContext) -> None:
    """SQLite gives the second one another name by itself."""
    statement = "SELECT s.saga_id, t.saga_id FROM sagas s JOIN saga_steps t ON t.saga_id = s.saga_id"

    if context.backend.views.dialect.name == "sqlite":
        assert list(_now(context, statement)[0]) == ["saga_id", "saga_id:1"]
    else:
        with pytest.raises(InvalidInput, match="AS"):
            _now(context, statement)


def test_a_position_that_the_log_does_not_have_is_refused(context: LedgerContext) -> None:
    """It names those that there are."""
    with pytest.raises(InvalidInput, match="beyond the end of the log"):
        _at(context, CHARGED, context.backend.head().position + 1)


@pytest.mark.usefixtures("context")  # brings the view up
def test_a_moment_of_a_view_needs_its_projection(audited_url: str) -> None:
    """Without the app the present can be asked, and the past cannot."""
    statement = "SELECT count(*) AS number FROM saga_attributes"
    with Ledger.open(audited_url, App()) as ledger:
        assert _now(ledger.context, statement) == [{"number": 12}]
        with pytest.raises(AppPartMissing):
            _at(ledger.context, statement, 10)


def test_the_page_finds_what_the_shop_owes_at_a_moment(url: str) -> None:
    """The order is cancelled before its payment is refunded; in between, the money is owed."""
    (asked,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    order = OrderCreated(OPENING, "1", "c1", "France", 1, 250, "GBP", OPENING)
    paid = PaymentSucceeded(OPENING, "1", "1", "c1", 250, "GBP")
    refunded = PaymentRefunded(OPENING, "1", "1", "c1", 250, "GBP")
    with Ledger.open(url, SHOP, create=True) as ledger:
        shop = Shop(ledger.backend)
        for stream, event in (
            ("order-1", order),
            ("payment-1", paid),
            ("order-1", OrderCancelled(OPENING, "1", "no stock")),
            ("payment-1", refunded),
        ):
            shop.write([(stream, "fulfil_order-1", event)])

        owed = [_at(ledger.context, asked, position) for position in range(5)]

    assert owed == [[], [], [], [{"payment_id": "1", "owed_minor": 250}], []]
