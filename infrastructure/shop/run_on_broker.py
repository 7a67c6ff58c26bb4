"""Running processes over a broker: a relay in this process, and each service in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from ...domain.participant import Command
from ..errors import TimedOut
from ..ledger.ledger import Ledger
from ..runtime.interruption import run_to_end
from ..runtime.progress import ReportProgress
from .invoices_in_conflict import InvoiceInConflict, start_each
from .run_options import BrokerOptions
from .service_processes import ServiceProcesses

SILENCE_SECONDS_MAX = 120.0
"""How long to wait for services that record nothing."""
LOOK_SECONDS = 0.3


def run_on_broker(
    ledger: Ledger,
    starts: Sequence[tuple[str, Command]],
    broker: BrokerOptions,
    actor: str,
    quiescent: Callable[[], int],
    conflict: Callable[[InvoiceInConflict], None],
    report: ReportProgress,
    say: Callable[[str], None],
) -> None:
    """Start processes, relay the log to a broker, and run every service until `quiescent` returns their number.
    `conflict` is called with each that could not be started.

    Raises `BrokerUnavailable` when the broker cannot be reached, `TimedOut` when the services make no progress, and
    `Unavailable` when a service ends again and again.
    """
    from ..choreography.nats.connection import check  # noqa: PLC0415  # the extra `broker`

    run_to_end(check(broker.url))
    start_each(ledger, starts, actor=actor, conflict=conflict)
    with _services(ledger, broker, say) as services:
        run_to_end(_relay_until_quiescent(ledger, broker.url, len(starts), quiescent, report, services))


async def _relay_until_quiescent(
    ledger: Ledger,
    url: str,
    total: int,
    quiescent: Callable[[], int],
    report: ReportProgress,
    services: ServiceProcesses,
) -> None:
    from ..choreography.nats.outbox_relay import OutboxRelay  # noqa: PLC0415  # the extra `broker`

    stopping = asyncio.Event()
    relaying = asyncio.create_task(OutboxRelay(ledger, url).run(stopping))
    try:
        silence = _SilenceLimit(ledger)
        while (done := await asyncio.to_thread(quiescent)) < total:
            report(done, total)
            await asyncio.to_thread(silence.check)
            services.restart_ended()
            await asyncio.wait([relaying], timeout=LOOK_SECONDS)
            if relaying.done():
                relaying.result()
        report(total, total)
    finally:
        stopping.set()
        await asyncio.gather(relaying, return_exceptions=True)


class _SilenceLimit:
    """Limits how long the log may stay as it is."""

    def __init__(self, ledger: Ledger) -> None:
        self._backend = ledger.backend
        self._head = -1
        self._since = monotonic()

    def check(self) -> None:
        """Raise `TimedOut` when nothing was recorded for too long."""
        head = self._backend.head().position
        if head != self._head:
            self._head, self._since = head, monotonic()
        elif monotonic() - self._since > SILENCE_SECONDS_MAX:
            raise TimedOut(
                f"the services recorded nothing for {SILENCE_SECONDS_MAX:g} seconds: see `sagaledger participants`, "
                "and run this again to go on"
            )


@contextmanager
def _services(ledger: Ledger, broker: BrokerOptions, say: Callable[[str], None]) -> Iterator[ServiceProcesses]:
    services = ServiceProcesses(list(ledger.app.services), broker, say)
    try:
        yield services
    finally:
        services.stop()
