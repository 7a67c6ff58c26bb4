"""Approvals: the word that a step waits for, given once, by somebody, for a reason."""

from __future__ import annotations

from time import sleep
from typing import Any

import pytest

from sagaledger import App, Ledger, Saga, Status, WrongState
from sagaledger.domain.saga.events import SignalReceived
from sagaledger.infrastructure.ledger import signal_rules

from ..worker.conftest import play, worker_on

payment = Saga("payment", input=int)
payment.wait_for("second_signature", signal="signed", timeout=3600)
payment.step(name="pay", compensable=False)(lambda _, ctx: ctx.result("second_signature"))
APP = App(sagas=[payment])


def work(ledger: Ledger) -> None:
    async def scene() -> None:
        async with worker_on(ledger) as worker:
            await worker.idle()

    play(scene())


@pytest.mark.parametrize("early", [True, False])
def test_an_approval_is_given_to_the_step_that_waits_for_it(url: str, early: bool) -> None:
    """Whether the step waits already or not; the signal that it waits for need not be known."""
    with Ledger.open(url, APP, create=True) as ledger:
        ledger.start(payment, 1, key="1")
        if not early:
            work(ledger)

        ledger.approve("payment-1", "second_signature", "bob", actor="bob", reason="checked")
        work(ledger)

        state = ledger.state("payment-1")
        [word] = [r.event for r in ledger.history("payment-1") if isinstance(r.event, SignalReceived)]
        assert (state.status, bytes(state.result or b"")) == (Status.COMPLETED, b'"bob"')
        assert (word.name, word.actor, word.reason, word.refused) == ("signed", "bob", "checked", False)


def test_of_two_words_the_first_counts(url: str) -> None:
    """The second is told that it comes too late, before a worker has looked and after."""
    with Ledger.open(url, APP, create=True) as ledger:
        ledger.start(payment, 1, key="1")
        ledger.approve("payment-1", "second_signature", actor="bob", reason="checked", refused=True)
        with pytest.raises(WrongState, match="signal 'signed' came before"):
            ledger.approve("payment-1", "second_signature", actor="ann", reason="it is fine")

        work(ledger)

        with pytest.raises(WrongState, match="does not wait any more"):
            ledger.approve("payment-1", "second_signature", actor="ann", reason="it is fine")


def test_a_step_that_waits_for_nobody_cannot_be_approved(url: str) -> None:
    """The message names those that do."""
    with Ledger.open(url, APP, create=True) as ledger:
        ledger.start(payment, 1, key="1")
        with pytest.raises(WrongState, match=r"'pay'.*those that do are \['second_signature'\]"):
            ledger.approve("payment-1", "pay", actor="ann", reason="why not")


def four_eyes(**options: Any) -> Saga[int]:
    """Two steps that wait for signals of one name."""
    saga = Saga("four_eyes", input=int)
    saga.wait_for("first", signal="signed", **options)
    saga.wait_for("second", signal="signed", **options)
    return saga


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")])
def test_an_approval_is_for_its_step_alone(url: str, order: tuple[str, str]) -> None:
    """Even if another step waits for the same signal; the state shows which approvals are kept."""
    saga = four_eyes()
    with Ledger.open(url, App(sagas=[saga]), create=True) as ledger:
        ledger.start(saga, 1, key="1")
        work(ledger)
        ledger.approve("four_eyes-1", order[0], order[0], actor="ann", reason="checked")
        with pytest.raises(WrongState, match="came before"):
            ledger.approve("four_eyes-1", order[0], "again", actor="ann", reason="checked")
        work(ledger)
        assert ledger.state("four_eyes-1").end is None
        ledger.approve("four_eyes-1", order[1], order[1], actor="bob", reason="checked")
        work(ledger)

        state = ledger.state("four_eyes-1")
        assert state.status is Status.COMPLETED
        assert [bytes(state.step(name).forward.result or b"") for name in ("first", "second")] == [
            b'"first"', b'"second"',
        ]  # fmt: skip


def test_an_approval_after_the_time_of_its_step_is_refused(url: str) -> None:
    """Whether or not a worker has looked since."""
    saga = four_eyes(timeout=0.2)
    with Ledger.open(url, App(sagas=[saga]), create=True) as ledger:
        ledger.start(saga, 1, key="1")
        work(ledger)
        sleep(0.4)
        if ledger.state("four_eyes-1").end is None:
            with pytest.raises(WrongState, match="its time ended"):
                ledger.approve("four_eyes-1", "first", actor="ann", reason="checked")
        work(ledger)
        with pytest.raises(WrongState, match="compensated"):
            ledger.approve("four_eyes-1", "first", actor="ann", reason="checked")


def test_a_saga_keeps_a_bounded_number_of_signals(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that no step has taken: the next is refused, until one is taken."""
    monkeypatch.setattr(signal_rules, "SIGNALS_OPEN_MAX", 3)
    saga = four_eyes()
    with Ledger.open(url, App(sagas=[saga]), create=True) as ledger:
        ledger.start(saga, 1, key="1")
        for name in ("signed", "a", "b"):
            ledger.signal("four_eyes-1", name, actor="ann")
        with pytest.raises(WrongState, match="it keeps 3 that no step has taken, of 3"):
            ledger.signal("four_eyes-1", "c", actor="ann")
        work(ledger)

        ledger.signal("four_eyes-1", "c", actor="ann")


def test_an_ended_saga_takes_no_signal(url: str) -> None:
    """It would be recorded behind the saga's end."""
    saga = four_eyes()
    with Ledger.open(url, App(sagas=[saga]), create=True) as ledger:
        ledger.start(saga, 1, key="1")
        ledger.cancel("four_eyes-1", actor="ann", reason="a mistake")
        work(ledger)

        with pytest.raises(WrongState, match="takes no signal: it is compensated"):
            ledger.signal("four_eyes-1", "signed", actor="ann")
        assert ledger.history("four_eyes-1")[-1].version == ledger.state("four_eyes-1").version == 3
