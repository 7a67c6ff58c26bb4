"""Sending signals: of the declared type, once under a key, and by those who may approve."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, Field

from sagaledger import (
    App,
    Approval,
    InvalidInput,
    Ledger,
    PayloadTooLarge,
    Saga,
    SagaConflict,
    Status,
    StepContext,
    WrongState,
)
from sagaledger.domain.saga.events import SignalReceived, SignalRejected
from sagaledger.infrastructure.ledger.possible_actions import actions_on_saga, waits_of
from sagaledger.infrastructure.ledger.saga_start import SagaStart
from sagaledger.infrastructure.ledger.signal_rules import NewSignal

from ..worker.conftest import play, worker_on


class Terms(msgspec.Struct, frozen=True):
    """What comes with an approval."""

    limit: int
    currency: str = "EUR"


offer = Saga("offer", input=int)
offer.wait_for("terms", type=Terms, timeout=3600)


@offer.step(compensable=False)
def sell(_asked: int, ctx: StepContext) -> str:
    terms: Terms = ctx.result("terms")
    return f"{terms.limit} {terms.currency}"


payout = Saga("payout", input=int)
payout.wait_for("release", signal="approval", type=int, approvals=2, excluded=["robot"], exclude_requester=True)


@payout.step(compensable=False)
def pay(_asked: int, ctx: StepContext) -> list[str]:
    given: list[Approval[int]] = ctx.result("release")
    return [f"{approval.actor} {approval.payload + 1}" for approval in given]


APP = App(sagas=[offer, payout])


@pytest.fixture
def ledger(url: str) -> Any:
    """A ledger with an offer, and with a payout that ann started; no worker has looked at them."""
    with Ledger.open(url, APP, create=True) as opened:
        opened.start(offer, 1, key="1")
        opened.start(payout, 1, key="1", actor="ann")
        yield opened


def work(ledger: Ledger) -> None:
    """A worker comes, does what there is to do, and is gone."""

    async def scene() -> None:
        async with worker_on(ledger) as worker:
            await worker.idle()

    play(scene())


def result(ledger: Ledger, saga_id: str) -> Any:
    """The result of a saga."""
    return msgspec.json.decode(ledger.state(saga_id).result or b"null")


def signals(ledger: Ledger, saga_id: str) -> list[SignalReceived]:
    """The signals on record."""
    return [each.event for each in ledger.history(saga_id) if isinstance(each.event, SignalReceived)]


SEND: dict[str, Callable[[Ledger, Any], int]] = {
    "signal": lambda ledger, payload: ledger.signal("offer-1", "terms", payload, actor="bob"),
    "approve": lambda ledger, payload: ledger.approve("offer-1", "terms", payload, actor="bob", reason="why"),
}


@pytest.mark.parametrize("how", SEND)
def test_a_payload_is_of_the_declared_type(ledger: Ledger, how: str) -> None:
    """One that does not fit is refused before it is recorded; the step's result reads as the type."""
    for wrong in (None, 5, {"limit": "much"}, [1], {}):
        with pytest.raises(InvalidInput, match="payload of signal 'terms' for step 'terms' of saga 'offer-1' does not"):
            SEND[how](ledger, wrong)
    assert signals(ledger, "offer-1") == []

    SEND[how](ledger, {"limit": 7} if how == "signal" else Terms(7))
    work(ledger)

    assert result(ledger, "offer-1") == "7 EUR"
    assert [bytes(event.payload) for event in signals(ledger, "offer-1")] == [b'{"limit":7,"currency":"EUR"}']


def test_a_payload_that_its_sender_could_not_check_is_rejected_on_record(ledger: Ledger, url: str) -> None:
    """The step does not take it, waits on, and can be given another."""
    with Ledger.open(url) as stranger:
        position = stranger.signal("offer-1", "terms", {"limit": "much"}, actor="bob")
        work(ledger)

        [rejected] = [each for each in ledger.history("offer-1") if isinstance(each.event, SignalRejected)]
        assert isinstance(rejected.event, SignalRejected)
        assert rejected.event.error.type == "ValidationError"
        assert rejected.event.error.message == "Expected `int`, got `str` - at `$.limit`"
        sent = next(each for each in ledger.history("offer-1") if each.position == position)
        assert rejected.event.signal == sent.version
        assert ledger.state("offer-1").signals == {}

        stranger.approve("offer-1", "terms", {"limit": 8}, actor="bob", reason="again")
        work(ledger)
    assert result(ledger, "offer-1") == "8 EUR"


def test_a_refusal_needs_a_reason_and_no_payload(ledger: Ledger) -> None:
    """The reason is in the error of the step."""
    for reason in (None, "", " \n"):
        with pytest.raises(InvalidInput, match="the refusal of signal 'terms' has no reason"):
            ledger.signal("offer-1", "terms", actor="bob", reason=reason, refused=True)
        with pytest.raises(InvalidInput, match="the refusal of step 'terms' has no reason"):
            ledger.approve("offer-1", "terms", actor="bob", reason=reason or "", refused=True)
    ledger.approve("offer-1", "terms", actor="bob", reason="too much", refused=True)
    work(ledger)

    state = ledger.state("offer-1")
    assert state.status is Status.COMPENSATED
    error = state.step("terms").forward.error
    assert error is not None
    assert error.message == "terms was refused by bob: too much"


def test_several_people_approve_each_once(ledger: Ledger) -> None:
    """Those who may not, or have, are told so, whether a worker has looked or not; the result is a typed list."""

    def approve(actor: str, payload: int = 1) -> int:
        return ledger.approve("payout-1", "release", payload, actor=actor, reason="checked")

    for look in (True, False):
        with pytest.raises(WrongState, match="needs the approval of another actor: 'ann' started the saga"):
            approve("ann")
        with pytest.raises(WrongState, match="the definition excludes 'robot'"):
            approve("robot")
        if look:
            work(ledger)
    approve("bob", 2)
    for look in (True, False):
        with pytest.raises(WrongState, match=r"'bob' has approved it \(1 of 2 approved, by bob\)"):
            approve("bob")
        [wait] = waits_of(ledger.state("payout-1"))
        assert wait.share is not None
        assert [given.actor for given in wait.share.approvals] == ["bob"]
        if look:
            work(ledger)
    whys = {str(action.name): action.why for action in actions_on_saga(ledger.state("payout-1"))}
    assert whys["approve"] == "step release waits for signal approval: 1 of 2 approved, by bob"

    approve("cid", 3)

    assert "approve" not in [str(action.name) for action in actions_on_saga(ledger.state("payout-1"))]
    with pytest.raises(WrongState, match="does not wait any more: it has its approvals, 2 of 2 approved, by bob, cid"):
        approve("dan")
    work(ledger)
    assert result(ledger, "payout-1") == ["bob 3", "cid 4"]
    [row] = [row for row in rows(ledger) if row["step"] == "release"]
    assert (row["approvals"], row["approvals_needed"], row["approved_by"]) == (2, 2, "bob, cid")


def rows(ledger: Ledger) -> list[dict[str, Any]]:
    """The rows of the view of steps."""
    ledger.projector().catch_up()
    return [dict(row) for row in ledger.query("saga_steps").rows]


def test_one_refusal_is_enough(ledger: Ledger) -> None:
    """Even if others have approved; the one who started the saga may refuse, too."""
    work(ledger)
    ledger.approve("payout-1", "release", 1, actor="bob", reason="fine")
    ledger.approve("payout-1", "release", actor="ann", reason="a mistake", refused=True)
    with pytest.raises(WrongState, match="signal 'approval' came before"):
        ledger.approve("payout-1", "release", 1, actor="cid", reason="fine")
    work(ledger)

    assert ledger.state("payout-1").cause == "step release failed (Refused)"


def test_an_approval_is_small_enough_for_a_list_of_them(ledger: Ledger) -> None:
    """With its reason."""
    with pytest.raises(PayloadTooLarge, match="with its actor and its reason, is 13"):
        ledger.approve("payout-1", "release", 1, actor="bob", reason="x" * 130_000)


class Bounds(BaseModel):
    """What comes with an approval, as a pydantic model."""

    limit: int = Field(gt=0)


def test_approvals_may_carry_models_of_pydantic(url: str) -> None:
    """A model, or JSON that fits it; the list of approvals has models."""
    saga = Saga("modelled", input=int)
    terms = saga.wait_for("terms", type=Bounds, approvals=2)
    saga.step(name="sum", compensable=False)(lambda _, ctx: sum(each.payload.limit for each in ctx.result(terms) or []))
    with Ledger.open(url, App(sagas=[saga]), create=True) as ledger:
        ledger.start(saga, 1, key="1")
        with pytest.raises(InvalidInput, match="does not fit"):
            ledger.approve("modelled-1", "terms", {"limit": 0}, actor="ann", reason="why")
        ledger.approve("modelled-1", "terms", {"limit": 3}, actor="ann", reason="why", key="k")
        ledger.approve("modelled-1", "terms", Bounds(limit=3), actor="ann", reason="why", key="k")
        ledger.approve("modelled-1", "terms", Bounds(limit=4), actor="bob", reason="why")
        work(ledger)

        assert result(ledger, "modelled-1") == 7


@pytest.mark.parametrize("actor", [None, ""])
def test_a_saga_that_excludes_its_requester_has_one(actor: str | None) -> None:
    """Also one whose sub-saga does."""
    parent = Saga("parent", input=int)
    parent.sub_saga(payout, compensable=False)(lambda asked, _: asked)
    for saga in (payout, parent):
        with pytest.raises(InvalidInput, match=f"saga {saga.name!r} excludes the actor who starts it from approving"):
            SagaStart.of(saga.definition, 1, "2", actor=actor)


def test_the_requester_of_a_sub_saga_is_that_of_its_parent(url: str) -> None:
    """It is a person, not the parent."""
    parent = Saga("parent", input=int)
    parent.sub_saga(payout, name="payout", compensable=False)(lambda asked, _: asked)
    with Ledger.open(url, App(sagas=[parent]), create=True) as ledger:
        ledger.start(parent, 1, key="1", actor="ann")
        work(ledger)

        wait = ledger.state("payout-parent-1.payout").step("release").forward.wait
        assert wait is not None
        assert wait.excluded == ("robot", "ann")


SENT = {"payload": {"limit": 1}, "actor": "bob", "reason": "why", "key": "k-1"}


def test_a_signal_with_a_key_is_recorded_once(ledger: Ledger) -> None:
    """The same again returns its position, also when its step has taken it and the saga has ended."""
    first = ledger.signal("offer-1", "terms", **SENT)
    assert ledger.signal("offer-1", "terms", **{**SENT, "payload": Terms(1)}) == first
    other = ledger.signal("offer-1", "terms", **{**SENT, "key": "k-2"})
    assert other != first
    work(ledger)
    assert ledger.state("offer-1").status is Status.COMPLETED

    assert ledger.signal("offer-1", "terms", **SENT) == first
    assert len(signals(ledger, "offer-1")) == 2


def test_another_signal_with_a_key_that_is_taken_is_a_conflict(ledger: Ledger) -> None:
    """The message says where the first one is."""
    position = ledger.signal("offer-1", "terms", **SENT)

    for change in ({"payload": {"limit": 2}}, {"actor": "cid"}, {"reason": "because"}, {"refused": True}):
        with pytest.raises(
            SagaConflict, match=f"'k-1' belongs to another signal of saga 'offer-1', at position {position}"
        ):
            ledger.signal("offer-1", "terms", **{**SENT, **change})
    with pytest.raises(SagaConflict):
        ledger.signal("offer-1", "weather", **SENT)
    with pytest.raises(SagaConflict):
        ledger.approve("offer-1", "terms", **SENT)
    assert len(signals(ledger, "offer-1")) == 1


def test_an_approval_with_a_key_is_recorded_once(ledger: Ledger) -> None:
    """Instead of the answer that its actor has approved; another saga has keys of its own."""
    sent = {"actor": "bob", "reason": "why", "key": "k-1"}
    position = ledger.approve("payout-1", "release", 1, **sent)
    work(ledger)

    assert ledger.approve("payout-1", "release", 1, **sent) == position
    assert ledger.signal("offer-1", "weather", actor="bob", key="k-1") != position


def test_many_that_send_one_signal_at_once_record_it_once(ledger: Ledger) -> None:
    """Whichever comes first."""
    positions: list[int] = []

    def send() -> None:
        positions.append(ledger.signal("offer-1", "terms", **SENT))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(positions)) == 1
    assert len(positions) == 4
    assert len(signals(ledger, "offer-1")) == 1


@pytest.mark.parametrize("key", ["", "a\nb", "x" * 201, 5, b"k"])
def test_a_key_is_a_short_text(key: Any) -> None:
    """As that of a saga."""
    with pytest.raises(InvalidInput, match=r"the key .* of signal 'terms' must be 1 to 200 printable characters"):
        NewSignal.of(1, name="terms", actor="bob", reason=None, refused=False, key=key)
