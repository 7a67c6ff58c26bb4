"""The result of a run: what became of the sagas of a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select

from ...domain.saga.state import Status
from ...domain.shop import IMPORT_JOB, Order, Return, fulfil_order, import_key, return_goods
from ...domain.shop.choreographies import order_choreography, return_choreography
from ..ledger.ledger import Ledger
from ..read_models.readable import readable
from .invoices_in_conflict import InvoiceInConflict
from .order_import import OrderFile
from .run_options import Style

IDS_MAX = 500
"""The most sagas asked for in one query."""
QUIESCENT = frozenset({Status.COMPLETED, Status.COMPENSATED, Status.NEEDS_INTERVENTION, Status.ABANDONED})
"""A saga of such a status goes on only if a person decides so, or not at all."""


class RunResult(NamedTuple):
    """What became of the sagas of a file."""

    statuses: dict[str, int]
    """How many sagas have each status, without those of invoices in conflict."""
    ended_since: int
    """How many of them ended after the run began."""
    events: int
    """How many events were recorded since the file was begun."""
    head_position: int
    seconds: float
    conflicts: Sequence[InvoiceInConflict] = ()
    """The invoices whose sagas could not be started."""
    contradicted: Sequence[InvoiceInConflict] = ()
    """The invoices whose lines contradict each other: no saga was to be started for them."""

    @property
    def quiescent(self) -> int:
        """How many sagas need nothing more of a worker or a service."""
        return sum(self.statuses.get(status, 0) for status in QUIESCENT)


def run_result(
    ledger: Ledger,
    orders: OrderFile,
    style: Style,
    since: datetime,
    conflicts: Sequence[InvoiceInConflict],
    *,
    seconds: float,
) -> RunResult:
    """Return what became of the sagas of a file that was begun, by the view `sagas` as it is."""
    sagas = ledger.context.queries.projection("sagas")
    left_out = {each.saga_id for each in conflicts}
    wanted = [id_ for each in orders.invoices if (id_ := saga_id_of(each, style)) not in left_out]
    statuses: Counter[str] = Counter()
    ended_since = 0
    with ledger.context.queries.snapshot(sagas) as (connection, checkpoint):
        for status, ended_at in _rows(connection, sagas.table, wanted):
            statuses[status] += 1
            ended_since += ended_at is not None and ended_at >= since
    begun_at = ledger.backend.stream(f"{IMPORT_JOB.category}-{import_key(orders.sha256)}")[0].position
    events = checkpoint.position - begun_at + 1
    return RunResult(
        dict(sorted(statuses.items())),
        ended_since,
        events,
        checkpoint.position,
        seconds,
        _with_lines(orders, style, conflicts),
        _contradicted(orders, style),
    )


def saga_id_of(invoice: Order | Return, style: Style) -> str:
    """Return the id of the saga of an order or a return."""
    return _saga_id(_number_of(invoice), style, is_return=isinstance(invoice, Return))


def _saga_id(number: str, style: Style, *, is_return: bool) -> str:
    if style == "choreographed":
        return (return_choreography if is_return else order_choreography).process_id(number)
    return (return_goods if is_return else fulfil_order).definition.saga_id(number)


def _with_lines(
    orders: OrderFile, style: Style, conflicts: Sequence[InvoiceInConflict]
) -> tuple[InvoiceInConflict, ...]:
    if not conflicts:
        return ()
    invoice_of = {saga_id_of(each, style): _number_of(each) for each in orders.invoices}
    return tuple(
        each._replace(lines=tuple(orders.invoice_lines.get(invoice_of.get(each.saga_id, ""), ()))) for each in conflicts
    )


def _contradicted(orders: OrderFile, style: Style) -> tuple[InvoiceInConflict, ...]:
    return tuple(
        InvoiceInConflict(_saga_id(each.invoice, style, is_return=each.is_return), each.reason, each.lines)
        for each in orders.contradicted
    )


def _number_of(invoice: Order | Return) -> str:
    return invoice.return_id if isinstance(invoice, Return) else invoice.order_id


def _rows(connection: Any, table: Any, saga_ids: list[str]) -> Iterator[tuple[str, datetime | None]]:
    for first in range(0, len(saga_ids), IDS_MAX):
        wanted = table.c.saga_id.in_(saga_ids[first : first + IDS_MAX])
        with readable(f"view {table.name}"):
            found = connection.execute(select(table.c.status, table.c.ended_at).where(wanted)).all()
        yield from found
