"""`participants`: the services of a choreography: how far each is, what it could not handle, and running them."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated, Any

from cyclopts import App, Parameter

from ....domain.choreography.dead_letter import DeadLetterStatus
from ....domain.choreography.service import Service
from ...choreography.dead_letter_queue import DeadLetterQueue
from ...choreography.delivery import consumer_of
from ...choreography.in_process_bus import InProcessBus
from ...errors import UnknownDefinition
from ...ledger.ledger import Ledger
from ...runtime.event_loop import run_async
from ...runtime.gc_tuning import tune_gc
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.output import answer, say
from ..output.table import Table
from ..session import open_ledger
from ..signals import StopRequest
from ..usage import UsageError

COLUMNS = ("participant", "position", "lag_events", "retrying", "deferred", "parked", "reacts_to")

app = App(name="participants")


@app.default
def participants(*, options: Options = DEFAULTS) -> ExitCode:
    """How far each service is, how far behind the log, and how many of its events wait or are parked."""
    with open_ledger(options) as ledger:
        head = ledger.backend.head().position
        rows = [_standing(ledger, service, head) for service in ledger.app.services.values()]
    document = {"head_position": head, "participants": rows}
    answer(options, document, lambda: [Table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows])])
    if not options.json and any(row["parked"] for row in rows):
        say(f"parked events wait for a person: `{options.again('deadletters', 'list')}`")
    return ExitCode.OK


@app.command
def run(
    *names: str,
    broker: Annotated[str | None, Parameter(help="A NATS server with JetStream: nats://HOST:4222.")] = None,
    quiet: Annotated[bool, Parameter(negative="", help="Say nothing unless something is wrong.")] = False,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Let services react until stopped: to the log itself, or to a broker.

    Parameters
    ----------
    names
        The services to run; every one if none is named, and then the relay to the broker too.
    """
    tune_gc()
    with open_ledger(options) as ledger:
        chosen = [_service(ledger, name) for name in names] or list(ledger.app.services.values())
        if not chosen:
            raise UsageError("the app has no services: App(services=[…]) brings them")
        if broker is None:
            _greet("reacting", chosen, quiet)
            stopped_by = run_async(_follow(ledger, chosen))
        else:
            _greet("attending to the broker", chosen, quiet)
            stopped_by = run_async(_attend(ledger, chosen, broker, with_relay=not names))
    return ExitCode.INTERRUPTED if stopped_by is signal.SIGINT else ExitCode.OK


@app.command
def relay(
    *,
    broker: Annotated[str, Parameter(help="A NATS server with JetStream: nats://HOST:4222.")],
    options: Options = DEFAULTS,
) -> ExitCode:
    """Send the log's choreographed events to a broker until stopped."""
    with open_ledger(options) as ledger:
        _greet("relaying to the broker", [], quiet=False)
        stopped_by = run_async(_attend(ledger, [], broker, with_relay=True))
    return ExitCode.INTERRUPTED if stopped_by is signal.SIGINT else ExitCode.OK


async def _follow(ledger: Ledger, services: list[Service]) -> signal.Signals | None:
    stop = StopRequest()
    bus, projector = InProcessBus(ledger, services), ledger.projector()
    bus.start()
    projector.start()
    await stop.event.wait()
    await asyncio.to_thread(bus.stop)
    await asyncio.to_thread(projector.stop)
    return stop.signal


async def _attend(ledger: Ledger, services: list[Service], url: str, *, with_relay: bool) -> signal.Signals | None:
    from ...choreography.nats.connection import check
    from ...choreography.nats.consumer import NatsConsumer
    from ...choreography.nats.outbox_relay import OutboxRelay

    await check(url)  # at the start no broker is an error; later it is an outage, to be waited out
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


def _service(ledger: Ledger, name: str) -> Service:
    try:
        return ledger.app.services[name]
    except KeyError:
        known = ", ".join(ledger.app.services) or "none"
        raise UnknownDefinition(f"no service {name!r} is registered: there are {known}") from None


def _standing(ledger: Ledger, service: Service, head: int) -> dict[str, Any]:
    dead_letters = DeadLetterQueue(service.name, ledger.backend, ledger.context.codec)
    dead_letters.read()
    counts = dead_letters.counts()
    position = ledger.backend.consumer_position(consumer_of(service.name))
    return {
        "participant": service.name,
        "position": position,
        "lag_events": max(head - position, 0),
        "retrying": counts[DeadLetterStatus.RETRYING],
        "deferred": counts[DeadLetterStatus.DEFERRED],
        "parked": counts[DeadLetterStatus.PARKED],
        "reacts_to": ", ".join(service.topics),
    }
