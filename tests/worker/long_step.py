"""A worker that is killed in the middle of a long step: `python long_step.py URL`.

The step tells how far it has come, and dies as by `kill -9` once that is in the log; any later attempt returns what it
finds of the attempts before it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import Any

from sagaledger.domain.saga.events import StepProgressed
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.step import StepContext
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.worker import Worker

crawl = Saga("crawl", input=str)


@crawl.step(heartbeat_timeout=60, compensable=False)
def fetch(url: str, ctx: StepContext) -> Any:
    if ctx.attempt > 1:
        return ctx.last_progress
    ctx.heartbeat({"page": 3})
    with Ledger.open(url, APP) as ledger:
        while not any(isinstance(recorded.event, StepProgressed) for recorded in ledger.history(ctx.saga_id)):
            time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
    return None


APP = App(sagas=[crawl])


async def work(url: str) -> None:
    """Start the saga, and wait for an end that never comes."""
    with Ledger.open(url, APP, create=True) as ledger:
        async with Worker(ledger, project=False, lease_seconds=0.5) as worker:
            await worker.outcome((await worker.start(crawl, url, key="1")).saga_id)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
