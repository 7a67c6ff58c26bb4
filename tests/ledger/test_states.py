"""The states of many sagas at once."""

from __future__ import annotations

from uuid import uuid4

import pytest
from msgspec.structs import replace

from sagaledger.infrastructure.errors import SagaNotFound
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall
from sagaledger.infrastructure.event_store.codec import UnreadableEvent
from sagaledger.infrastructure.ledger import state_reader as rebuilding
from sagaledger.infrastructure.ledger.ledger import Ledger

from .trip import Trip, trip


@pytest.fixture
def started(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sagas, more than are read at a time, and some of them called off."""
    monkeypatch.setattr(rebuilding, "SAGAS_PER_READ", 2)
    ids = [ledger.start(trip, Trip("Rome", seats)).saga_id for seats in range(1, 8)]
    for saga_id in ids[::3]:
        ledger.cancel(saga_id, actor="ann", reason="no")
    return ids


def test_they_are_what_each_is_by_itself_in_the_order_asked_for(ledger: Ledger, started: list[str]) -> None:
    """Also when one is asked for twice; and none, when none is."""
    asked = [*reversed(started), started[0]]

    assert list(ledger.states(asked)) == [ledger.state(saga_id) for saga_id in asked]
    assert list(ledger.states([])) == []


@pytest.mark.parametrize("missing", ["trip-Nowhere.1", "seats-Rome"])
def test_one_that_is_not_there_is_named_when_its_turn_comes(ledger: Ledger, started: list[str], missing: str) -> None:
    """Those before it were given; a participant's stream is no saga."""
    states = ledger.states([started[0], started[1], started[2], missing, started[3]])

    assert [next(states).saga_id for _ in range(3)] == started[:3]
    with pytest.raises(SagaNotFound, match=missing):
        next(states)


def test_one_that_cannot_be_read_says_where(ledger: Ledger, started: list[str]) -> None:
    """The event's position and the saga."""
    broken = started[1]
    fact = ledger.history(broken, participants=False)[0].event
    unknown = replace(ledger.context.codec.encode(broken, 2, fact), topic="SagaPainted")
    ledger.backend.append(AppendCall(uuid4(), [Append([unknown])]))
    position = ledger.backend.head().position

    with pytest.raises(UnreadableEvent, match=f"position {position}, {broken} version 2"):
        list(ledger.states(started))
