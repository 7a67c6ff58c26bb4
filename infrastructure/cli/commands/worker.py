"""`worker` and `start`: sagas set in motion, and driven."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from ....domain.saga.state import SagaState, Status
from ...errors import TimedOut
from ...event_store.event_row import STATE_BYTES_MAX
from ...ledger.ledger import Ledger
from ...ledger.saga_start import Started
from ...runtime.event_loop import run_async
from ...runtime.gc_tuning import tune_gc
from ...worker.worker import Worker
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.documents import state_document
from ..output.output import answer, say
from ..output.text import one_line
from ..output.timestamps import read_instant
from ..session import actor_or_user, open_ledger
from ..signals import StopRequest
from ..usage import UsageError
from .workers import unattended

LEASE_SECONDS_MIN, LEASE_SECONDS_MAX = 1.0, 3600.0
INPUT_BYTES_MAX = 4 * STATE_BYTES_MAX
"""More than this is not even read: JSON with white space is larger than what it is stored as, but not four times."""


def worker(
    *,
    concurrency: Annotated[int, Parameter(help="How many sagas it holds at once.")] = 1000,
    threads: Annotated[int, Parameter(help="How many steps that are plain functions run at once.")] = 32,
    lease_seconds: Annotated[
        float, Parameter(help="After how long without a sign of life others may take over what it holds.")
    ] = 15.0,
    until_idle: Annotated[bool, Parameter(negative="", help="Stop when no saga is due any more.")] = False,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Work sagas until stopped. Ctrl-C or SIGTERM: it finishes the steps at hand and gives back the rest."""
    if concurrency < 1 or threads < 1:
        raise UsageError("--concurrency and --threads count from 1")
    if not LEASE_SECONDS_MIN <= lease_seconds <= LEASE_SECONDS_MAX:
        raise UsageError(f"--lease-seconds {lease_seconds:g}: from {LEASE_SECONDS_MIN:g} to {LEASE_SECONDS_MAX:g}")
    tune_gc()
    with open_ledger(options) as ledger:
        working = Worker(ledger, concurrency=concurrency, threads=threads, lease_seconds=lease_seconds)
        stopped_by = run_async(_work(ledger, working, until_idle))
        head = ledger.backend.head().position
    document = {"stopped_by": None if stopped_by is None else stopped_by.name, "head_position": head}
    answer(options, document, list)
    return ExitCode.INTERRUPTED if stopped_by is signal.SIGINT else ExitCode.OK


async def _work(ledger: Ledger, worker: Worker, until_idle: bool) -> signal.Signals | None:
    stop = StopRequest()
    async with worker as working:
        say(f"working {ledger.backend.name}; Ctrl-C stops, after the steps at hand")
        idle = asyncio.create_task(_then_stop(working, stop)) if until_idle else None
        await working.run_until(stop.event)
        if idle is not None:
            idle.cancel()
        say("stopping: finishing the steps at hand")
    return stop.signal


async def _then_stop(working: Worker, stop: StopRequest) -> None:
    await working.idle()
    stop.event.set()


def start(
    definition: str,
    /,
    *,
    input: Annotated[str, Parameter(help="The saga's input: JSON, @FILE, or - for stdin.", allow_leading_hyphen=True)],  # noqa: A002 -- --input
    id: Annotated[str | None, Parameter(help="Its key: the saga's id is DEFINITION-KEY.")] = None,  # noqa: A002 -- --id
    wait: Annotated[bool, Parameter(negative="", help="Wait for its end; exits 1 unless it completed.")] = False,
    timeout: Annotated[float, Parameter(help="How many seconds to wait.")] = 60.0,
    actor: Annotated[str | None, Parameter(help="Who starts it [default: the user of this shell].")] = None,
    at: Annotated[str | None, Parameter(help="Not before this time, UTC unless it says otherwise.")] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Start one saga. The same one again is one saga; the same key with another input is a conflict.

    Parameters
    ----------
    definition
        The saga's definition, such as fulfil_order (`sagaledger definitions` shows them).
    """
    value = _read_input(input)
    begins_at = None if at is None else read_instant(at)
    with open_ledger(options) as ledger:
        begun = ledger.start(definition, value, key=id, actor=actor_or_user(actor), begins_at=begins_at)
        if wait:
            return _await_end(ledger, begun, timeout, options)
        remark = unattended(ledger, options)
    answer(options, begun._asdict(), lambda: [_told(begun)])
    if remark:
        say(f"{begun.saga_id} waits: {remark}")
    return ExitCode.OK


def _await_end(ledger: Ledger, begun: Started, timeout_seconds: float, options: Options) -> ExitCode:
    try:
        state = ledger.wait(begun.saga_id, timeout_seconds)
    except TimedOut as error:
        remark = unattended(ledger, options)
        raise TimedOut(f"{error}; {remark}" if remark else str(error)) from error
    answer(options, {**begun._asdict(), **state_document(state)}, lambda: [_told(begun), _ending(state)])
    if state.end is not Status.COMPLETED:
        say(f"why: {options.again('show', begun.saga_id)}")
    return ExitCode.OK if state.end is Status.COMPLETED else ExitCode.FAILED


def _told(begun: Started) -> str:
    how = "started" if begun.created else "was started before,"
    return f"{begun.saga_id} {how} at position {begun.position}"


def _ending(state: SagaState) -> str:
    cause = state.cause or next((waiting.cause for waiting in state.interventions), None)
    return f"{state.saga_id} {state.status}" + (f": {one_line(cause)}" if cause else "")


def _read_input(given: str) -> Any:
    if given == "-":
        place, content = "stdin", sys.stdin.buffer.read(INPUT_BYTES_MAX + 1)
    elif given.startswith("@"):
        place, content = given[1:], _read_file(Path(given[1:]))
    else:
        place, content = "--input", given.encode()
    if len(content) > INPUT_BYTES_MAX:
        raise UsageError(f"{place} is longer than {INPUT_BYTES_MAX:,} bytes: store it elsewhere and pass a reference")
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise UsageError(f"{place} is not JSON: {error}") from error


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(INPUT_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"the input {path} cannot be read: {error.strerror or error}") from error
