"""Approvals: the word that a step waits for, given once, by somebody, for a reason."""

from __future__ import annotations

import pytest

from sagaledger import App, Ledger, Saga, Status, WrongState
from sagaledger.domain.saga.events import SignalReceived

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
