"""An app for the tests of the log: a saga with an attempt that fails, one that is refused, and logs of its own."""

from __future__ import annotations

import logging

from sagaledger import App, Retry, Saga, StepContext, StepRejected

log = logging.getLogger("parcels")
parcel = Saga("parcel", input=str)


@parcel.step(compensable=False, retry=Retry(attempts=2, backoff_seconds=0.0))
async def weigh(value: str, ctx: StepContext) -> str:
    """The scale is away the first time."""
    log.info("weighing %s", value)
    log.info("%d kilograms", value)  # a mistake: the value is a text
    if ctx.attempt == 1:
        raise ConnectionError(f"\x1b[31mno scale for {value}\ud800")
    return value


@parcel.step(compensable=False)
def send(value: str, _: StepContext) -> None:
    """Not everything can be sent."""
    if value == "lion":
        raise StepRejected("alive")


APP = App(sagas=[parcel])
