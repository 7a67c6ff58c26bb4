"""Batches one behind the other: the next one is drafted while the log writes the one before."""

from __future__ import annotations

from uuid import uuid4

import pytest

from sagaledger.domain.recorded import Meta
from sagaledger.domain.state import Status
from sagaledger.infrastructure.ledger import Ledger
from sagaledger.infrastructure.log.port import Append, AppendCall
from sagaledger.infrastructure.opening import Opening
from sagaledger.infrastructure.worker.engine import Engine
from sagaledger.infrastructure.worker.message import Message, Start

from .conftest import OpenLedger
from .goods import FILLING, TAKING, Fill, PiecesTaken, Take, goods_app


def _start(ledger: Ledger, commands: list[Fill | Take], key: str) -> Start:
    saga = FILLING if isinstance(commands[0], Fill) else TAKING
    return Start(Opening.of(ledger.definition_of(saga, None), commands, key), Meta(), None)


def _turn(engine: Engine, *messages: Message) -> None:
    engine.turn(messages)


@pytest.mark.parametrize("quietly", [False, True])
def test_what_was_drafted_on_events_that_were_not_written_is_decided_again(
    open_ledger: OpenLedger, quietly: bool
) -> None:
    """Somebody else's event stands where the one before was to stand: the log alone would take the next one."""
    ledger, elsewhere = open_ledger(goods_app()), open_ledger(goods_app())
    engine = Engine(ledger, concurrency=10, lease_seconds=60)
    _turn(engine, _start(ledger, [Fill("a", 10)], "1"))
    while engine.seconds_to_wait() == 0:
        _turn(engine)

    # given a shelf that somebody else has emptied, which this worker believes to hold ten
    fact = ledger.history("filling-1")[0].event
    emptied = elsewhere.mapper.to_new("shelf-a", 2, PiecesTaken(fact.at, "a", 10))
    elsewhere.backend.append(AppendCall(uuid4(), [Append([emptied])]))

    # when one saga is sent, and the next one drafted, before the worker knows
    _turn(engine, _start(ledger, [Take("a", 3, quietly)], "2"))
    _turn(engine, _start(ledger, [Take("a", 3, quietly)], "3"))
    while engine.seconds_to_wait() == 0:
        _turn(engine)

    # then neither takes anything
    assert [ledger.state(f"taking-{key}").status for key in (2, 3)] == [Status.COMPENSATED] * 2
    taken = [row for row in ledger.backend.stream("shelf-a") if row.topic == "PiecesTaken"]
    assert [row.version for row in taken] == [2]
    engine.finish()
