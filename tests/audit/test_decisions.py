"""Every decision is found, with what there was to decide on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.audit.decisions import DecisionFilter, read_decisions, states_before
from sagaledger.infrastructure.ledger.context import LedgerContext
from sagaledger.infrastructure.ledger.ledger import Ledger


def _found(context: LedgerContext, wanted: DecisionFilter) -> list[str]:
    return [row["saga_id"] for row in read_decisions(context, wanted, limit=10).rows]


def test_the_latest_decision_comes_first(context: LedgerContext) -> None:
    """With the actor, the reason, and the position of its event."""
    rows = read_decisions(context, DecisionFilter(), limit=10).rows

    assert [(row["saga_id"], row["action"], row["step"], row["actor"]) for row in rows] == [
        ("orders-5", "resolve", "charge", "night-shift"),
        ("orders-4", "approve", "release", "head-of-sales"),
    ]
    for row in rows:
        (stored,) = context.backend.read(row["position"] - 1, limit=1)
        assert (stored.stream_id, stored.version) == (row["saga_id"], row["version"])


def test_what_the_actor_saw_is_the_state_before_the_decision(context: LedgerContext) -> None:
    """And not what the decision made of it."""
    rows = read_decisions(context, DecisionFilter(), limit=10).rows

    states = states_before(context, rows)

    assert [None if state is None else (state.status, state.version) for state in states] == [
        (Status.NEEDS_INTERVENTION, rows[0]["version"] - 1),
        (Status.WAITING, rows[1]["version"] - 1),
    ]


def test_the_states_of_many_decisions_are_read_at_once(context: LedgerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a server, each reading is a round trip."""
    rows = read_decisions(context, DecisionFilter(), limit=10).rows
    streams, asked = context.backend.streams, []

    def counted(after: list[tuple[str, int]]) -> object:
        asked.append(sorted(stream_id for stream_id, _ in after))
        return streams(after)

    monkeypatch.setattr(context.backend, "streams", counted)
    monkeypatch.setattr(context.backend, "stream", None)
    states_before(context, [*rows, *rows])

    assert asked == [["orders-4", "orders-5"]]


def test_decisions_are_found_by_all_that_a_filter_names(context: LedgerContext) -> None:
    """Each condition, and several at once."""
    later, earlier = read_decisions(context, DecisionFilter(), limit=10).rows

    assert _found(context, DecisionFilter(saga_id="orders-4")) == ["orders-4"]
    assert _found(context, DecisionFilter(actor="night-shift")) == ["orders-5"]
    assert _found(context, DecisionFilter(step="release")) == ["orders-4"]
    assert _found(context, DecisionFilter(decided_since=later["decided_at"])) == ["orders-5"]
    assert _found(context, DecisionFilter(decided_before=later["decided_at"])) == ["orders-4"]
    assert _found(context, DecisionFilter(decided_before=earlier["decided_at"])) == []
    assert _found(context, DecisionFilter(attributes=["customer=C-2"])) == ["orders-4"]
    assert _found(context, DecisionFilter(action="approve", attributes=["customer=C-3"])) == []


def test_refusals_signals_and_cancelling_are_decisions(url: str, example: SimpleNamespace) -> None:
    """A signal is one that was sent by its name."""
    with Ledger.open(url, example.app, create=True) as ledger:
        for number in "123":
            ledger.start(example.orders, example.Order(number, "C-1", 100_000, "High Street 1"))
        ledger.approve("orders-1", "release", actor="sales", reason="too much", refused=True)
        ledger.signal("orders-2", "release", actor="billing")
        ledger.cancel("orders-3", actor="customer", reason="ordered twice")
        ledger.context.projector().catch_up()

        rows = read_decisions(ledger.context, DecisionFilter(), limit=10).rows

    assert [(row["saga_id"], row["action"], row["signal"], row["reason"]) for row in rows] == [
        ("orders-3", "cancel", None, "ordered twice"),
        ("orders-2", "signal", "release", None),
        ("orders-1", "refuse", "release", "too much"),
    ]
