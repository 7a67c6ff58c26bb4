"""Running a file of orders: its parameters on record, its stock opened, its sagas driven to their ends.

Every part is idempotent, so running the same file again goes on where the last run stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from time import monotonic

from ...domain.participant import Command
from ...domain.recorded_event import Meta
from ...domain.shop import IMPORT_JOB, ImportParameters, StartImport, import_key
from ..errors import Unavailable
from ..event_store.append_call import AppendCall
from ..ledger.append_builder import AppendBuilder
from ..ledger.ledger import Ledger
from ..ledger.stream_cache import StreamCache
from ..ledger.transact import call_of, transact
from ..read_models.checkpoints import STOPPED
from ..runtime.progress import ReportProgress
from .order_import import OrderFile, opening_stock, shortest
from .run_choreographed import run_choreographed
from .run_options import RunOptions
from .run_orchestrated import run_orchestrated
from .run_result import RunResult, run_result

COMMANDS_MAX = 1_000
"""The most commands of one append."""


def run_orders(
    ledger: Ledger,
    orders: OrderFile,
    options: RunOptions,
    *,
    report: ReportProgress = lambda _done, _total: None,
    say: Callable[[str], None] = lambda _message: None,
) -> RunResult:
    """Drive every saga of a file to its end, bring every view to the head, and return what became of the sagas.

    An invoice that contradicts what the ledger has under its number is left out and listed; the others go on.

    `report` is called with how many sagas have ended, `say` with incidents on the way.
    Raises `Refused` when the file was begun with other parameters, `TimedOut` when a worker or a service that it waits
    for makes no progress, `Unavailable` when a view cannot reach the head, and `KeyboardInterrupt` after the running
    steps have ended.
    """
    started, since = monotonic(), datetime.now(UTC)
    begin(ledger, orders, options)
    run_sagas = run_choreographed if options.style == "choreographed" else run_orchestrated
    conflicts = run_sagas(ledger, orders, options, report, say)
    _bring_views_up(ledger)
    return run_result(ledger, orders, options.style, since, conflicts, seconds=monotonic() - started)


def begin(ledger: Ledger, orders: OrderFile, options: RunOptions) -> None:
    """Put the run's parameters on record and open the stock.

    Raises `Refused` when the file was begun with other parameters.
    """
    parameters = ImportParameters(orders.sha256, options.seed, shortest(options.decline_rate), options.opening_stock)
    handle = partial(_handle, ledger, f"{IMPORT_JOB.category}-{import_key(orders.sha256)}", options.actor)
    handle([StartImport(orders.file, orders.lines_in, parameters)])
    commands = opening_stock(orders, options.opening_stock)
    for first in range(0, len(commands), COMMANDS_MAX):
        handle(commands[first : first + COMMANDS_MAX])


def _handle(ledger: Ledger, correlation_id: str, actor: str, commands: Sequence[Command]) -> None:
    """Let participants handle commands, and append what they decide, all or nothing."""
    context = ledger.context
    stream_cache = StreamCache(context.app, context.backend, context.codec)

    def build() -> AppendBuilder:
        builder = stream_cache.draft(correlation_id, Meta(actor=actor))
        builder.handle(commands, context.clock.now())
        return builder

    def decide(_: int) -> AppendCall | None:
        [builder] = stream_cache.build([build])
        return call_of([builder.append()]) if builder.events else None

    transact(context, decide, what=f"the import {correlation_id}", stream_cache=stream_cache)


def _bring_views_up(ledger: Ledger) -> None:
    projector = ledger.projector()
    try:
        projector.catch_up()
        stopped = next((each for each in projector.checkpoints() if each.status == STOPPED), None)
    finally:
        projector.stop()
    if stopped is not None:
        raise Unavailable(f"every saga ended, but view {stopped.name!r} stopped: {stopped.error}")
