"""An app whose sagas end, wait for people, and need them."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from sagaledger import App, Retry, Saga, Schedule, StepContext, Tick


class Payout(Struct, frozen=True):
    """Money that leaves only once it was approved."""

    number: str
    bank: str = "open"
    """`open`, or a file without which the bank is closed."""


payout = Saga(
    "payout", input=Payout, key=lambda asked: asked.number, search={"bank": lambda asked: Path(asked.bank).name}
)


@payout.step()
def reserve(asked: Payout, _: StepContext) -> str:
    return f"reserved {asked.number}"


@reserve.compensation()
def release(_: Payout, __: str | None, ___: StepContext) -> None:
    """The money is free again."""


payout.wait_for("approval", timeout=3600)


@payout.step(pivot=True, retry=Retry(attempts=1))
def pay(asked: Payout, ctx: StepContext) -> str:
    if asked.bank != "open" and not Path(asked.bank).exists():
        raise ConnectionError("the bank is closed")
    return f"paid {asked.number}, as {ctx.result('approval')} said"


note = Saga("note", input=str)


@note.step(compensable=False)
def write(text: str, _: StepContext) -> str:
    return text


def text_of(tick: Tick) -> str:
    """The input of a scheduled note."""
    return tick.at.isoformat()


hourly = Schedule("hourly_note", note, cron="0 * * * *", input=text_of)

APP = App(sagas=[payout, note], schedules=[hourly])
