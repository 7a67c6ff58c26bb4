"""Every decision is found, with what there was to decide on."""

from __future__ import annotations

from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.audit.decisions import read_decisions
from sagaledger.infrastructure.ledger.context import LedgerContext
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.read_models.condition import RowCondition, read_condition


def test_the_latest_decision_comes_first(context: LedgerContext) -> None:
    """With the actor, the reason, and the position of its event."""
    page = read_decisions(context, [], limit=10)

    told = [(each.row["saga_id"], each.row["action"], each.row["step"], each.row["actor"]) for each in page.decisions]
    assert told == [
        ("orders-5", "resolve", "charge", "night-shift"),
        ("orders-4", "approve", "release", "head-of-sales"),
    ]
    for decision in page.decisions:
        (stored,) = context.backend.read(decision.row["position"] - 1, limit=1)
        assert (stored.stream_id, stored.version) == (decision.row["saga_id"], decision.row["version"])


def test_what_the_actor_saw_is_the_state_before_the_decision(context: LedgerContext) -> None:
    """And not what the decision made of it."""
    resolve, approve = read_decisions(context, [], limit=10).decisions

    assert resolve.saw is not None
    assert approve.saw is not None
    assert (resolve.saw.status, resolve.saw.version) == (Status.NEEDS_INTERVENTION, resolve.row["version"] - 1)
    assert (approve.saw.status, approve.saw.version) == (Status.WAITING, approve.row["version"] - 1)


def test_decisions_are_found_by_column_and_by_attribute(context: LedgerContext) -> None:
    """Both at once, too."""
    by_actor = read_decisions(context, [RowCondition("actor", "=", "night-shift")], limit=10)
    by_customer = read_decisions(context, [], attributes=[read_condition("customer=C-2")], limit=10)
    by_both = read_decisions(
        context, [read_condition("action=approve")], attributes=[read_condition("customer=C-3")], limit=10
    )

    assert [each.row["saga_id"] for each in by_actor.decisions] == ["orders-5"]
    assert [each.row["saga_id"] for each in by_customer.decisions] == ["orders-4"]
    assert by_both.decisions == []


def test_refusals_signals_and_cancelling_are_decisions(url: str, example: object) -> None:
    """A signal is one that was sent by its name."""
    app, orders, order = (getattr(example, name) for name in ("app", "orders", "Order"))
    with Ledger.open(url, app, create=True) as ledger:
        for number in "123":
            ledger.start(orders, order(number, "C-1", 100_000, "High Street 1"))
        ledger.approve("orders-1", "release", actor="sales", reason="too much", refused=True)
        ledger.signal("orders-2", "release", actor="billing")
        ledger.cancel("orders-3", actor="customer", reason="ordered twice")
        ledger.context.projector().catch_up()

        page = read_decisions(ledger.context, [], limit=10)

    told = [
        (each.row["saga_id"], each.row["action"], each.row["signal"], each.row["reason"]) for each in page.decisions
    ]
    assert told == [
        ("orders-3", "cancel", None, "ordered twice"),
        ("orders-2", "signal", "release", None),
        ("orders-1", "refuse", "release", "too much"),
    ]
