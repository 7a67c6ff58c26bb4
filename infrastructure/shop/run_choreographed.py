"""Taking a file in without a coordinator: its orders are placed, and the services see to the rest."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from ...domain.shop import Order, Return
from ...domain.shop.services import place
from ..choreography.in_process_bus import InProcessBus
from ..choreography.start import start_processes
from ..cli.output.output import say
from ..cli.signals import run_to_end
from ..errors import TimedOut, Unavailable
from ..ledger.ledger import Ledger
from ..runtime.progress import ReportProgress

SILENCE_SECONDS_MAX = 120.0
"""How long nothing may happen before waiting for the services is given up."""
LOOK_SECONDS = 0.3
RESTARTS_MAX = 20
STOP_SECONDS_MAX = 15.0
PARTICIPANT = "from sagaledger.infrastructure.cli.main import main; main()"

Invoices = Sequence[Order | Return]
AtRest = Callable[[], int]
"""How many of the file's processes have ended or parked, by the views as they are."""


def through_the_log(
    ledger: Ledger, invoices: Invoices, actor: str, concurrency: int, at_rest: AtRest, report: ReportProgress
) -> None:
    """Place the orders and let the services react, all in this process: the log itself is the bus."""
    bus = InProcessBus(ledger)
    told_at = monotonic()

    def tell() -> None:
        nonlocal told_at
        if monotonic() - told_at > LOOK_SECONDS:
            report(at_rest(), len(invoices))
            told_at = monotonic()

    with _views(ledger):
        for start in range(0, len(invoices), concurrency):
            start_processes(ledger, [place(invoice) for invoice in invoices[start : start + concurrency]], actor=actor)
            bus.drain(each=tell)


def through_a_broker(
    ledger: Ledger, invoices: Invoices, actor: str, url: str, at_rest: AtRest, report: ReportProgress, app: str | None
) -> None:
    """Place the orders, relay the log to a broker, and have every service attend to it in a process of its own.

    Raises `BrokerUnavailable` when there is none, `TimedOut` when the services do not get on.
    """
    from ..choreography.nats.connection import check  # noqa: PLC0415  # the extra `broker`

    run_to_end(check(url))
    start_processes(ledger, [place(invoice) for invoice in invoices], actor=actor)
    with _views(ledger), _participants(ledger, url, app) as participants:
        run_to_end(_relay_until_at_rest(ledger, url, len(invoices), at_rest, report, participants))


async def _relay_until_at_rest(
    ledger: Ledger, url: str, total: int, at_rest: AtRest, report: ReportProgress, participants: Participants
) -> None:
    from ..choreography.nats.outbox_relay import OutboxRelay  # noqa: PLC0415  # the extra `broker`

    stopping = asyncio.Event()
    relaying = asyncio.create_task(OutboxRelay(ledger, url).run(stopping))
    try:
        watch = _Watch(ledger)
        while (done := await asyncio.to_thread(at_rest)) < total:
            report(done, total)
            await asyncio.to_thread(watch.look)
            participants.supervise()
            await asyncio.wait([relaying], timeout=LOOK_SECONDS)
            if relaying.done():
                relaying.result()
        report(total, total)
    finally:
        stopping.set()
        await asyncio.gather(relaying, return_exceptions=True)


class _Watch:
    """Notices that nothing happens any more."""

    def __init__(self, ledger: Ledger) -> None:
        self._backend = ledger.backend
        self._head = -1
        self._since = monotonic()

    def look(self) -> None:
        head = self._backend.head().position
        if head != self._head:
            self._head, self._since = head, monotonic()
        elif monotonic() - self._since > SILENCE_SECONDS_MAX:
            raise TimedOut(
                f"the services recorded nothing for {SILENCE_SECONDS_MAX:g} seconds: see `sagaledger participants`, "
                "and run this again to go on"
            )


class Participants:
    """The services' processes; one that dies is started again."""

    def __init__(self, names: Sequence[str], environment: dict[str, str], url: str) -> None:
        self._environment = environment
        self._url = url
        self._restarts_left = RESTARTS_MAX
        self.running = {name: self._start(name) for name in names}

    def supervise(self) -> None:
        """Start again whatever has died. Raises `Unavailable` when that happens again and again."""
        for name, process in self.running.items():
            if process.poll() is None:
                continue
            if self._restarts_left == 0:
                raise Unavailable(f"participant {name} keeps ending with exit code {process.returncode}")
            self._restarts_left -= 1
            say(f"participant {name} ended with {process.returncode}: it is started again")
            self.running[name] = self._start(name)

    def stop(self) -> None:
        """Ask every process to end, and see that it does."""
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        words = ("participants", "run", name, "--quiet", "--broker", self._url)
        return subprocess.Popen(  # noqa: S603  # this very program
            [sys.executable, "-c", PARTICIPANT, *words], env=self._environment, stdout=subprocess.DEVNULL
        )


@contextmanager
def _participants(ledger: Ledger, url: str, app: str | None) -> Iterator[Participants]:
    environment = {**os.environ, "SAGALEDGER_DB": ledger.backend.url}
    if app is not None:
        environment["SAGALEDGER_APP"] = app
    participants = Participants(list(ledger.app.services), environment, url)
    try:
        yield participants
    finally:
        participants.stop()


@contextmanager
def _views(ledger: Ledger) -> Iterator[None]:
    """Keep the views up meanwhile."""
    projector = ledger.projector()
    projector.start()
    try:
        yield
    finally:
        projector.stop()
