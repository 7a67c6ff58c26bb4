"""An app of one's own whose sagas wait for people, in one way or the other."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from sagaledger import App, Approval, Retry, Saga, StepContext


class Payout(Struct, frozen=True):
    """Money that leaves only when somebody says so."""

    number: str
    bank: str = "open"
    """`open`, or a file without which the bank is closed."""


payout = Saga("payout", input=Payout, key=lambda asked: asked.number)


@payout.step()
def reserve(asked: Payout, _ctx: StepContext) -> str:
    return f"reserved {asked.number}"


@reserve.compensation()
def release(_asked: Payout, _reserved: str | None, _ctx: StepContext) -> None:
    """The money is free again."""


payout.wait_for("approval", timeout=3600)


@payout.step(pivot=True, retry=Retry(attempts=1))
def pay(asked: Payout, ctx: StepContext) -> str:
    if asked.bank != "open" and not Path(asked.bank).exists():
        raise ConnectionError("the bank is closed")
    return f"paid {asked.number}, as {ctx.result('approval')} said"


bonus = Saga("bonus", input=str)
bonus.wait_for("release", signal="approval", type=int, approvals=2, exclude_requester=True)


@bonus.step(compensable=False)
def transfer(_asked: str, ctx: StepContext) -> str:
    given: list[Approval[int]] = ctx.result("release")
    return " and ".join(f"{approval.actor}: {approval.payload}" for approval in given)


APP = App(sagas=[payout])
BONUSES = App(sagas=[bonus])
