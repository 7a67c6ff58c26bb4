"""G6: a process that is stopped for longer than its first lease, before it learns of it, takes another one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from time import sleep
from typing import Any

import pytest

from sagaledger import App, Ledger, Saga, StepContext, Unavailable
from sagaledger.infrastructure.event_store.work_queue import FencingToken
from sagaledger.infrastructure.worker.coordination.lease import Lease

PATIENCE_SECONDS = 30.0
LEASE_SECONDS = 0.5
LOOK_SECONDS = 0.02
STOPPED = f"""
import asyncio, os, signal, sys
from sagaledger import App, Ledger, Saga, Worker

plain = Saga("plain", input=int)

@plain.step(compensable=False)
async def succeed(value, ctx):
    pass

async def work(ledger):
    async with Worker(ledger, lease_seconds={LEASE_SECONDS}, project=False) as worker:
        await worker.idle()

with Ledger.open(sys.argv[1], App(sagas=[plain])) as ledger:
    register, backend = ledger.backend.register, ledger.backend

    def register_and_stop(**lease):
        epoch = register(**lease)
        backend.register = register
        os.kill(os.getpid(), signal.SIGSTOP)
        return epoch

    backend.register = register_and_stop
    asyncio.run(work(ledger))
"""


def test_a_worker_stopped_while_it_takes_its_first_lease_takes_another(postgres_url: str) -> None:
    """SIGSTOP once the lease is recorded, others end the lease, SIGCONT: the worker works under a new token."""
    plain = Saga("plain", input=int)
    plain.step(name="succeed", compensable=False)(_never_called)
    with Ledger.open(postgres_url, App(sagas=[plain]), create=True) as ledger:
        saga_id = ledger.start(plain, 1, key="1").saga_id
        process = subprocess.Popen([sys.executable, "-c", STOPPED, postgres_url], stderr=subprocess.PIPE, text=True)
        try:
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            [stopped] = ledger.backend.workers()
            while not ledger.backend.take_over():
                sleep(LOOK_SECONDS)
            process.send_signal(signal.SIGCONT)
            _, errors = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
            process.wait()

        assert process.returncode == 0, errors
        epochs = {recorded.meta.epoch for recorded in ledger.history(saga_id)} - {None}
        assert str(ledger.state(saga_id).status) == "completed"
        assert epochs == {stopped.epoch + 1}


def test_a_lease_that_never_lasts_is_said_to_be_too_short(postgres_url: str) -> None:
    """After a limited number of tries the error names the remedy."""
    with Ledger.open(postgres_url, App(), create=True) as ledger:
        take = ledger.backend.register

        def take_too_late(**lease: Any) -> FencingToken:
            epoch = take(**lease)
            ledger.backend.retire(epoch)
            return epoch

        ledger.backend.register = take_too_late  # type: ignore[method-assign]
        with pytest.raises(Unavailable, match="set a longer `lease_seconds`"):
            Lease(ledger.backend, 1.0, ledger.context.clock)


async def _never_called(_value: int, _ctx: StepContext) -> None:
    raise AssertionError("the worker in the other process runs the steps")
