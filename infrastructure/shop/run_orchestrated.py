"""Running a file's sagas with a coordinator: in a worker of this process, or in the one that has the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, TypeAlias

from ...domain.saga.saga import Saga
from ...domain.shop import Order, Return, fulfil_order, return_goods
from ..errors import TimedOut, WorkerRunning
from ..ledger.ledger import Ledger
from ..runtime.interruption import run_to_end
from ..runtime.progress import ReportProgress
from ..worker.worker import Worker
from .invoices_in_conflict import INVOICE_ERRORS, InvoiceInConflict
from .order_import import OrderFile, as_placed
from .run_options import RunOptions
from .run_result import saga_id_of

PROGRESS_SECONDS_MAX = 60.0
"""How long to wait for another worker to end one saga."""

SagaInput: TypeAlias = tuple[Saga[Any], Order | Return]
"""A saga to start, and its input."""


def run_orchestrated(
    ledger: Ledger, orders: OrderFile, options: RunOptions, report: ReportProgress, say: Callable[[str], None]
) -> list[InvoiceInConflict]:
    """Drive every saga of the file to its end, here or in the worker that has the ledger.

    Returns the invoices whose sagas could not be started. Raises `TimedOut` when that worker makes no progress, and
    `KeyboardInterrupt` after the running steps have ended.
    """
    inputs = [_saga_input(invoice, options) for invoice in orders.invoices]
    conflicts: list[InvoiceInConflict] = []
    try:
        run_to_end(_run_here(ledger, inputs, options, report, conflicts))
    except WorkerRunning as running:
        say(f"{running}; the sagas are left to that worker")
        _wait_for_worker(ledger, inputs, options, report, conflicts)
    return conflicts


def _saga_input(invoice: Order | Return, options: RunOptions) -> SagaInput:
    placed = as_placed(invoice, seed=options.seed, rate=options.decline_rate)
    return (return_goods, placed) if isinstance(placed, Return) else (fulfil_order, placed)


async def _run_here(
    ledger: Ledger,
    inputs: Sequence[SagaInput],
    options: RunOptions,
    report: ReportProgress,
    conflicts: list[InvoiceInConflict],
) -> None:
    """Start the sagas in the order of the file, so many at once, and wait for the end of each."""
    waiting, done = iter(inputs), count(1)

    async def lane(worker: Worker) -> None:
        for saga, value in waiting:
            try:
                started = await worker.start(saga, value, actor=options.actor)
            except INVOICE_ERRORS as error:
                conflicts.append(_conflict(value, error))
            else:
                await worker.outcome(started.saga_id)
            report(next(done), len(inputs))

    async with Worker(ledger, concurrency=options.concurrency) as worker:
        lanes = [asyncio.create_task(lane(worker)) for _ in range(min(options.concurrency, len(inputs)))]
        try:
            await asyncio.gather(*lanes)
        finally:
            for each in lanes:
                each.cancel()


def _wait_for_worker(
    ledger: Ledger,
    inputs: Sequence[SagaInput],
    options: RunOptions,
    report: ReportProgress,
    conflicts: list[InvoiceInConflict],
) -> None:
    """Start every saga for the worker that has the ledger, and wait for the end of each."""
    started: list[str] = []
    for saga, value in inputs:
        try:
            started.append(ledger.start(saga, value, actor=options.actor).saga_id)
        except INVOICE_ERRORS as error:
            conflicts.append(_conflict(value, error))
    for done, saga_id in enumerate(started, start=1):
        try:
            ledger.wait(saga_id, PROGRESS_SECONDS_MAX)
        except TimedOut as error:
            raise TimedOut(f"{error}: stop the other worker, and run this again to go on") from error
        report(done, len(started))


def _conflict(invoice: Order | Return, error: Exception) -> InvoiceInConflict:
    return InvoiceInConflict(saga_id_of(invoice, "orchestrated"), str(error))
