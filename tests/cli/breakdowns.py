"""An app whose steps raise what ends a program, and whose worker meets a mistake once a file says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import current_thread

from sagaledger.domain.participant import Command
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.step import StepContext
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.runtime import failpoints

ONCE = Retry(attempts=1)
RAISED = {"SystemExit": SystemExit, "KeyboardInterrupt": KeyboardInterrupt}

in_thread = Saga("in_thread", input=str)
on_loop = Saga("on_loop", input=str)
in_append = Saga("in_append", input=str)


@in_thread.step(compensable=False, retry=ONCE)
def go(name: str, _: StepContext) -> None:
    raise RAISED[name]


@on_loop.step(name="go", compensable=False, retry=ONCE)
async def go_on_loop(name: str, _: StepContext) -> None:
    raise RAISED[name]


@in_append.local_step(name="go", compensable=False, retry=ONCE)
def go_in_append(name: str, _: StepContext) -> Sequence[Command]:
    raise RAISED[name]


def _break_engine(_name: str, _after: bool) -> None:
    """A mistake in sagaledger itself, at the next statement of the engine."""
    if current_thread().name == "saga-engine" and Path("break").exists():
        raise ZeroDivisionError("a mistake in the engine")


failpoints.set_listener(_break_engine)

APP = App(sagas=[in_thread, on_loop, in_append])
