"""Views from the command line."""

from __future__ import annotations

import json
import sqlite3

from .shell import ORDER, Shell


def test_query_answers_with_its_position_and_lag(shop: Shell) -> None:
    """The document has exactly the documented keys, and the rows that were asked for."""
    document = shop.json("query", "orders", "--where", "status=cancelled", "--order", "-total_minor")

    assert list(document) == ["view", "as_of_position", "head_position", "lag_events", "lag_seconds", "rows"]
    assert document["as_of_position"] == document["head_position"]
    assert document["lag_events"] == 0
    totals = [row["total_minor"] for row in document["rows"]]
    assert len(totals) == 11
    assert totals == sorted(totals, reverse=True)


def test_query_says_as_of_which_position_on_stderr(shop: Shell) -> None:
    """The rows alone are on stdout; where they stand is a message."""
    done = shop("query", "payments", "--limit", "2")
    assert len(done.stdout.splitlines()) == 3
    assert "as of position" in done.stderr


def test_an_empty_condition_means_no_value(shop: Shell) -> None:
    """Guests are the orders without a customer."""
    rows = shop.json("query", "orders", "--where", "customer_id=")["rows"]
    assert rows
    assert all(row["customer_id"] is None for row in rows)


def test_an_empty_answer_is_an_empty_list(shop: Shell) -> None:
    """No rows are [], not null, and no error."""
    assert shop.json("query", "shipments", "--where", "order_id=nope")["rows"] == []


def test_a_view_is_answered_as_it_was(shop: Shell) -> None:
    """Where it had only begun, the order was still pending."""
    history = shop.json("history", "fulfil_order-536366")["events"]
    began = next(event["position"] for event in history if event["event"] == "OrderCreated")
    then = shop.json("query", "orders", "--where", "order_id=536366", "--at", f"@{began}", "--app", "shop")
    now = shop.json("query", "orders", "--where", "order_id=536366")

    assert then["as_of_position"] == began
    assert (then["rows"][0]["status"], now["rows"][0]["status"]) == ("pending", "cancelled")


def test_projections_lists_every_view_at_the_head(shop: Shell) -> None:
    """Each view, where it stands, and its lag."""
    document = shop.json("projections")
    assert {p["lag_events"] for p in document["projections"]} == {0}
    assert {"orders", "sagas", "inventory"} <= {p["name"] for p in document["projections"]}


def test_a_view_edited_by_hand_drifts_until_it_is_rebuilt(shell: Shell) -> None:
    """`drift` names the row and exits 6; `rebuild` puts it right."""
    shell("start", "fulfil_order", "--input", json.dumps(ORDER))
    assert shell("worker", "--until-idle").returncode == 0
    shell("query", "orders")
    _edit_orders(shell)

    drifted = shell("projections", "drift", "orders", "--json")
    rebuilt = shell.json("projections", "rebuild", "orders")

    assert drifted.returncode == 6
    assert json.loads(drifted.stdout)["differences"][0]["key"] == {"order_id": "T1"}
    assert shell("verify").returncode == 0
    assert rebuilt["generation"] == 2
    assert shell.json("projections", "drift", "orders")["rows_differing"] == 0


def test_waiting_for_a_position_beyond_the_log_times_out(shop: Shell) -> None:
    """The message says where the view stands; exit code 124."""
    done = shop("query", "orders", "--wait-for", "99999", "--timeout", "0.2")
    assert done.returncode == 124
    assert "did not reach 99999" in done.stderr


def _edit_orders(shell: Shell) -> None:
    statement = "UPDATE orders SET total_minor = total_minor + 1"
    url = shell.environment["SAGALEDGER_DB"]
    if url.startswith("sqlite:///"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute(statement)
        connection.close()
    else:
        import psycopg  # noqa: PLC0415  # only where there is a server

        with psycopg.connect(url) as postgres:
            postgres.execute(statement)
