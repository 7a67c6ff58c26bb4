"""`participants`: the services of choreographies: how far each is, and running them."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated, Any, TypeAlias

from cyclopts import App, Parameter

from ....domain.choreography.service import Service
from ...choreography.in_process_bus import InProcessBus
from ...choreography.service_status import ServiceStatus, service_statuses
from ...errors import AppPartMissing, UnknownDefinition
from ...ledger.freshness import head_position
from ...ledger.ledger import Ledger
from ...runtime.event_loop import run_async, wait_for_stop
from .. import settings
from ..exit_codes import ExitCode
from ..log_options import DEFAULT_LOGS, LogOptions
from ..options import DEFAULTS, Options
from ..output.answer import answer, say
from ..output.table import Table
from ..session import open_ledger, open_or_create
from ..signals import StopRequest
from ..telemetry_options import NO_TELEMETRY, TelemetryOptions
from ..usage import UsageError

COLUMNS = ("participant", "position", "lag_events", "retrying", "deferred", "parked", "reacts_to")

Broker: TypeAlias = Annotated[
    str | None,
    Parameter(help="A NATS server with JetStream: nats://HOST:4222 or tls://… [default: $SAGALEDGER_BROKER]"),
]

app = App(name="participants")


@app.default
def participants(*, options: Options = DEFAULTS) -> ExitCode:
    """How far each service has handled the log, and how many of its events wait or are parked."""
    with open_ledger(options) as ledger:
        _require_services(ledger, "the list of participants")
        head = head_position(ledger.context)
        rows = [_row(status) for status in service_statuses(ledger)]
    document = {"head_position": head, "participants": rows}
    plain = Table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows])
    answer(options, document, lambda: [plain], lambda _: [_on_screen(rows)])
    if not options.json and any(row["parked"] for row in rows):
        say(f"parked events wait for a person: `{options.again('deadletters', 'list')}`")
    return ExitCode.OK


@app.command
def run(
    *names: str,
    broker: Broker = None,
    quiet: Annotated[bool, Parameter(negative="", help="Print warnings and errors only.")] = False,
    telemetry: TelemetryOptions = NO_TELEMETRY,
    logs: LogOptions = DEFAULT_LOGS,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Let services react until stopped: to the log itself, or to a broker.

    Parameters
    ----------
    names
        The services to run; every one if none is named, and then the relay to the broker too.
    """
    logs.apply("warning")
    url = broker or settings.broker()
    with telemetry.opened() as observer, open_or_create(options, observer=observer) as ledger:
        _require_services(ledger, "running participants")
        chosen = [_service(ledger, name) for name in names] or list(ledger.app.services.values())
        with telemetry.served(observer, ledger):
            if url is None:
                _greet("reacting to the log", chosen, quiet)
                stopped_by = run_async(_follow(ledger, chosen))
            else:
                _greet("reacting to the broker", chosen, quiet)
                stopped_by = run_async(_consume(ledger, chosen, url, with_relay=not names))
    return ExitCode.INTERRUPTED if stopped_by is signal.SIGINT else ExitCode.OK


@app.command
def relay(
    *,
    broker: Broker = None,
    telemetry: TelemetryOptions = NO_TELEMETRY,
    logs: LogOptions = DEFAULT_LOGS,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Send the log's choreographed events to a broker until stopped."""
    logs.apply("warning")
    url = broker or settings.broker()
    if url is None:
        raise UsageError("relay needs a broker: give --broker, or set SAGALEDGER_BROKER")
    with telemetry.opened() as observer, open_or_create(options, observer=observer) as ledger:
        _require_services(ledger, "relaying events")
        _greet("relaying to the broker", [], quiet=False)
        with telemetry.served(observer, ledger):
            stopped_by = run_async(_consume(ledger, [], url, with_relay=True))
    return ExitCode.INTERRUPTED if stopped_by is signal.SIGINT else ExitCode.OK


async def _follow(ledger: Ledger, services: list[Service]) -> signal.Signals | None:
    stop = StopRequest()
    bus, projector = InProcessBus(ledger, services), ledger.projector()
    bus.start()
    projector.start()
    try:
        await wait_for_stop(stop.event, bus.ended, projector.ended)
    finally:
        await asyncio.to_thread(bus.stop)
        await asyncio.to_thread(projector.stop)
    return stop.signal


async def _consume(ledger: Ledger, services: list[Service], url: str, *, with_relay: bool) -> signal.Signals | None:
    from ...choreography.nats.connection import check
    from ...choreography.nats.consumer import NatsConsumer
    from ...choreography.nats.outbox_relay import OutboxRelay

    await check(url)  # no broker at the start is an error; later it is an outage, which is waited out
    stop = StopRequest()
    runners: list[Any] = [NatsConsumer(ledger, service, url) for service in services]
    if with_relay:
        runners.append(OutboxRelay(ledger, url))
    running = [asyncio.create_task(runner.run(stop.event)) for runner in runners]
    try:
        await asyncio.gather(*running)
    finally:
        stop.event.set()
        await asyncio.gather(*running, return_exceptions=True)
    return stop.signal


def _greet(doing: str, services: list[Service], quiet: bool) -> None:
    if not quiet:
        names = ", ".join(service.name for service in services)
        say(f"{doing}{': ' if names else ''}{names}; Ctrl-C stops")


def _require_services(ledger: Ledger, what: str) -> None:
    if not ledger.app.services:
        raise AppPartMissing(what, "services (App(services=[…]))")


def _service(ledger: Ledger, name: str) -> Service:
    try:
        return ledger.app.services[name]
    except KeyError:
        known = ", ".join(ledger.app.services)
        raise UnknownDefinition(f"no service {name!r} is registered with the app in use: it has {known}") from None


def _on_screen(rows: list[dict[str, Any]]) -> Table:
    cells = [[row[name] for name in COLUMNS[:-1]] for row in rows]
    red = {at: "red" for at, row in enumerate(rows) if row["parked"]}
    return Table(COLUMNS[:-1], cells, red, notes={at: [f"reacts to {row['reacts_to']}"] for at, row in enumerate(rows)})


def _row(status: ServiceStatus) -> dict[str, Any]:
    return {
        "participant": status.service.name,
        "position": status.position,
        "lag_events": status.lag_events,
        "retrying": status.retrying,
        "deferred": status.deferred,
        "parked": status.parked,
        "reacts_to": ", ".join(status.service.topics),
    }
