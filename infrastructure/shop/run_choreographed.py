"""Running a file's sagas without a coordinator: the orders are placed, and the services do the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic

from ...domain.shop.services import place
from ..choreography.in_process_bus import InProcessBus
from ..ledger.ledger import Ledger
from ..runtime.progress import ReportProgress
from .invoices_in_conflict import InvoiceInConflict, start_each
from .order_import import OrderFile, as_placed
from .run_on_broker import run_on_broker
from .run_options import RunOptions
from .run_result import run_result

LOOK_SECONDS = 0.3
"""How often the views are asked how many processes are quiescent."""


def run_choreographed(
    ledger: Ledger, orders: OrderFile, options: RunOptions, report: ReportProgress, say: Callable[[str], None]
) -> list[InvoiceInConflict]:
    """Place the orders, and let the services drive every process of the file to its end.

    Returns the invoices whose processes could not be started. Raises `BrokerUnavailable` when the broker cannot be
    reached, `TimedOut` when the services make no progress.
    """
    invoices = [as_placed(invoice, seed=options.seed, rate=options.decline_rate) for invoice in orders.invoices]
    starts = [place(invoice) for invoice in invoices]
    since = datetime.now(UTC)
    conflicts: list[InvoiceInConflict] = []

    def quiescent() -> int:
        return run_result(ledger, orders, options.style, since, conflicts, seconds=0.0).quiescent + len(conflicts)

    with _views_followed(ledger):
        if options.broker is not None:
            run_on_broker(ledger, starts, options.broker, options.actor, quiescent, conflicts.append, report, say)
            return conflicts
        bus = InProcessBus(ledger)
        reporter = _Reporter(quiescent, len(starts), report)
        for first in range(0, len(starts), options.concurrency):
            batch = starts[first : first + options.concurrency]
            start_each(ledger, batch, actor=options.actor, conflict=conflicts.append)
            bus.drain(each=reporter)
    return conflicts


class _Reporter:
    """Reports the progress now and then, however often it is called."""

    def __init__(self, quiescent: Callable[[], int], total: int, report: ReportProgress) -> None:
        self._quiescent = quiescent
        self._total = total
        self._report = report
        self._reported_at = monotonic()

    def __call__(self) -> None:
        if monotonic() - self._reported_at > LOOK_SECONDS:
            self._report(self._quiescent(), self._total)
            self._reported_at = monotonic()


@contextmanager
def _views_followed(ledger: Ledger) -> Iterator[None]:
    """Keep the views up with the log inside the block."""
    projector = ledger.projector()
    projector.start()
    try:
        yield
    finally:
        projector.stop()
