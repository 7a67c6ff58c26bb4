"""`worker`: drive the sagas of a ledger until stopped."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated

from cyclopts import Parameter

from ...errors import AppPartMissing
from ...ledger.freshness import head_position
from ...runtime.event_loop import run_async
from ...worker.worker import Worker
from ..exit_codes import ExitCode
from ..log_options import DEFAULT_LOGS, LogOptions
from ..options import DEFAULTS, Options
from ..output.answer import answer, say
from ..session import open_or_create, shown_database
from ..signals import StopRequest
from ..telemetry_options import NO_TELEMETRY, TelemetryOptions
from ..usage import UsageError

CONCURRENCY_MAX, THREADS_MAX = 1_000_000, 10_000
LEASE_SECONDS_MIN, LEASE_SECONDS_MAX = 1.0, 3600.0


def worker(
    *,
    concurrency: Annotated[int, Parameter(help="How many sagas it holds at once.")] = 1000,
    threads: Annotated[int, Parameter(help="How many steps that are plain functions run at once.")] = 32,
    lease_seconds: Annotated[
        float, Parameter(help="After how long without a renewal of its lease others may take over its sagas.")
    ] = 15.0,
    until_idle: Annotated[bool, Parameter(negative="", help="Stop when no saga is due any more.")] = False,
    telemetry: TelemetryOptions = NO_TELEMETRY,
    logs: LogOptions = DEFAULT_LOGS,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Drive the app's sagas until stopped. On Ctrl-C or SIGTERM it ends the running steps and releases its sagas."""
    if not (1 <= concurrency <= CONCURRENCY_MAX and 1 <= threads <= THREADS_MAX):
        raise UsageError(
            f"--concurrency must be from 1 to {CONCURRENCY_MAX:,}, and --threads from 1 to {THREADS_MAX:,}"
        )
    if not LEASE_SECONDS_MIN <= lease_seconds <= LEASE_SECONDS_MAX:
        raise UsageError(f"--lease-seconds {lease_seconds:g}: from {LEASE_SECONDS_MIN:g} to {LEASE_SECONDS_MAX:g}")
    logs.apply("info")
    with telemetry.opened() as observer, open_or_create(options, observer=observer) as ledger:
        if not (ledger.app.definitions or ledger.app.services):
            raise AppPartMissing("a worker", "the sagas to drive (App(sagas=[…]))")
        built = Worker(ledger, concurrency=concurrency, threads=threads, lease_seconds=lease_seconds)
        if observer is not None:
            observer.watch_worker(built)
        with telemetry.served(observer, ledger):
            stopped_by = run_async(_work(built, until_idle, shown_database(options)))
        head = head_position(ledger.context)
    document = {"stopped_by": None if stopped_by is None else stopped_by.name, "head_position": head}
    answer(options, document, list)
    return ExitCode.INTERRUPTED if stopped_by is signal.SIGINT else ExitCode.OK


async def _work(worker: Worker, until_idle: bool, database: str) -> signal.Signals | None:
    stop = StopRequest()
    async with worker as working:
        say(f"working {database}; Ctrl-C stops, after the running steps")
        idle = asyncio.create_task(_stop_when_idle(working, stop)) if until_idle else None
        await working.run_until(stop.event)
        if idle is not None:
            idle.cancel()
        say("stopping: finishing the running steps")
    return stop.signal


async def _stop_when_idle(working: Worker, stop: StopRequest) -> None:
    await working.idle()
    stop.event.set()
