"""Taking a file of orders in: its parameters on record, its stock on the shelves, its sagas to their ends.

Everything is idempotent, so running the same file again goes on where it stopped.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import count
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from sqlalchemy import select

from ...domain.participant import Command
from ...domain.recorded_event import Meta
from ...domain.saga.saga import Saga
from ...domain.saga.state import Status
from ...domain.shop import (
    IMPORT_JOB,
    ImportParameters,
    Order,
    Return,
    StartImport,
    fulfil_order,
    import_key,
    return_goods,
)
from ...domain.shop.services import place
from ..cli.output.output import say
from ..cli.signals import run_to_end
from ..errors import TimedOut, WorkerRunning
from ..event_store.append_call import AppendCall
from ..ledger.ledger import Ledger
from ..ledger.stream_cache import AppendBuilder, StreamCache
from ..ledger.transact import call_of, transact
from ..runtime.progress import ReportProgress
from ..worker.worker import Worker
from .order_import import OrderFile, opening_stock, shortest, with_payment_method
from .run_choreographed import through_a_broker, through_the_log

COMMANDS_MAX = 1_000
"""The most commands of one append."""
IDS_MAX = 500
"""The most sagas asked for in one query."""
PROGRESS_SECONDS_MAX = 60.0
"""How long another worker may take over one saga before waiting for it is given up."""

AT_REST = frozenset({Status.COMPLETED, Status.COMPENSATED, Status.NEEDS_INTERVENTION, Status.ABANDONED})
"""A saga that stands so goes on only if a person says so, or not at all."""

T = TypeVar("T")
Style: TypeAlias = Literal["orchestrated", "choreographed"]
"""With a coordinator, or by services that react to each other."""
SagaInput: TypeAlias = tuple[Saga[Any], Order | Return]
"""A saga to start, and its input."""


class RunOptions(NamedTuple):
    """How a file is to be taken in."""

    seed: int
    decline_rate: Decimal
    opening_stock: int | None
    concurrency: int
    actor: str
    style: Style = "orchestrated"
    broker: str | None = None
    """The URL of a broker for the events of services; None: the log itself is their bus."""
    app: str | None = None
    """The app's name, for the services' own processes."""


class RunResult(NamedTuple):
    """What became of a file's sagas."""

    statuses: dict[str, int]
    ended_since: int
    """How many of them ended after this run began."""
    events: int
    """Recorded since the intake of the file began."""
    head_position: int


def begin(ledger: Ledger, intake: OrderFile, terms: RunOptions) -> None:
    """Put the terms on record and the stock on the shelves. Raises `Refused` when it was begun on other terms."""
    parameters = ImportParameters(intake.sha256, terms.seed, shortest(terms.decline_rate), terms.opening_stock)
    perform = partial(_perform, ledger, f"{IMPORT_JOB.category}-{import_key(intake.sha256)}", terms.actor)
    perform([StartImport(intake.file, intake.lines_in, parameters)])
    for commands in _chunks(opening_stock(intake, terms.opening_stock), COMMANDS_MAX):
        perform(commands)


def see_through(ledger: Ledger, intake: OrderFile, terms: RunOptions, report: ReportProgress) -> None:
    """Drive every saga of the file to its end, here or by the worker that has the ledger.

    Raises `TimedOut` when that worker does not get on, and `KeyboardInterrupt`, after a clean end of what is at hand.
    """
    if terms.style == "choreographed":
        _let_services_see_through(ledger, intake, terms, report)
        return
    openings = [_saga_start(invoice, terms) for invoice in intake.invoices]
    try:
        run_to_end(_here(ledger, openings, terms, report))
    except WorkerRunning as running:
        say(f"{running}; the sagas are left to that worker")
        _elsewhere(ledger, openings, terms, report)


def _let_services_see_through(ledger: Ledger, intake: OrderFile, terms: RunOptions, report: ReportProgress) -> None:
    invoices = [_as_placed(invoice, terms) for invoice in intake.invoices]
    since = datetime.now(UTC)

    def at_rest() -> int:
        statuses = taken(ledger, intake, since, terms.style).statuses
        return sum(number for status, number in statuses.items() if status in AT_REST)

    if terms.broker is None:
        through_the_log(ledger, invoices, terms.actor, terms.concurrency, at_rest, report)
    else:
        through_a_broker(ledger, invoices, terms.actor, terms.broker, at_rest, report, terms.app)


def _perform(ledger: Ledger, correlation_id: str, actor: str, commands: Sequence[Command]) -> None:
    """Have participants decide commands, and append what they decided, all or nothing."""
    context = ledger.context
    stream_cache = StreamCache(context.app, context.backend, context.codec)

    def decided() -> AppendBuilder:
        draft = stream_cache.draft(correlation_id, Meta(actor=actor))
        draft.handle(commands, context.clock.now())
        return draft

    def decide(_: int) -> AppendCall | None:
        [draft] = stream_cache.build([decided])
        return call_of([draft.append()]) if draft.events else None

    transact(context, decide, what=f"the import {correlation_id}", stream_cache=stream_cache)


def _saga_start(invoice: Order | Return, terms: RunOptions) -> SagaInput:
    placed = _as_placed(invoice, terms)
    return (return_goods, placed) if isinstance(placed, Return) else (fulfil_order, placed)


def _as_placed(invoice: Order | Return, terms: RunOptions) -> Order | Return:
    """The invoice, with a card that is declined if the draw says so."""
    if isinstance(invoice, Return):
        return invoice
    return with_payment_method(invoice, seed=terms.seed, rate=terms.decline_rate)


async def _here(ledger: Ledger, openings: Sequence[SagaInput], terms: RunOptions, report: ReportProgress) -> None:
    """Start and see through so many sagas at once, in the order of the file."""
    waiting, done = iter(openings), count(1)

    async def lane(worker: Worker) -> None:
        for saga, value in waiting:
            started = await worker.start(saga, value, actor=terms.actor)
            await worker.outcome(started.saga_id)
            report(next(done), len(openings))

    async with Worker(ledger, concurrency=terms.concurrency) as worker:
        lanes = [asyncio.create_task(lane(worker)) for _ in range(min(terms.concurrency, len(openings)))]
        try:
            await asyncio.gather(*lanes)
        finally:
            for each in lanes:
                each.cancel()


def _elsewhere(ledger: Ledger, openings: Sequence[SagaInput], terms: RunOptions, report: ReportProgress) -> None:
    """Start every saga for the worker that has the ledger, and wait for each."""
    started = [ledger.start(saga, value, actor=terms.actor).saga_id for saga, value in openings]
    for done, saga_id in enumerate(started, start=1):
        try:
            ledger.wait(saga_id, PROGRESS_SECONDS_MAX)
        except TimedOut as error:
            raise TimedOut(f"{error}: stop the other worker, and run this again to go on") from error
        report(done, len(started))


def taken(ledger: Ledger, intake: OrderFile, since: datetime, style: Style = "orchestrated") -> RunResult:
    """What became of the file's sagas, by the view `sagas`, which must have reached the head."""
    sagas = ledger.context.queries.projection("sagas")
    table = sagas.table
    ids = [_saga_id(invoice, style) for invoice in intake.invoices]
    statuses: Counter[str] = Counter()
    ended_since = 0
    with ledger.context.queries.snapshot(sagas) as (connection, standing):
        for chunk in _chunks(ids, IDS_MAX):
            for status, ended_at in connection.execute(
                select(table.c.status, table.c.ended_at).where(table.c.saga_id.in_(chunk))
            ):
                statuses[status] += 1
                ended_since += ended_at is not None and ended_at >= since
    begun = ledger.backend.stream(f"{IMPORT_JOB.category}-{import_key(intake.sha256)}")[0].position
    return RunResult(dict(sorted(statuses.items())), ended_since, standing.position - begun + 1, standing.position)


def _saga_id(invoice: Order | Return, style: Style) -> str:
    if style == "choreographed":
        return place(invoice)[0]
    if isinstance(invoice, Return):
        return return_goods.definition.saga_id(invoice.return_id)
    return fulfil_order.definition.saga_id(invoice.order_id)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
