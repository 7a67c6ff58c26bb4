"""One life of a process that works a ledger, in one thread and with a clock of its own, so that it can be repeated
crossing by crossing: it starts every saga (again), works until all have ended, follows and rebuilds the views.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from sagaledger.domain.recorded_event import Meta
from sagaledger.domain.saga.events import Action, SignalReceived
from sagaledger.domain.shop import DECLINED_CARD, OpenStock, Order, OrderLine, Return, ReturnLine
from sagaledger.infrastructure.event_store.append_call import AppendCall
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.ledger.append_builder import AppendBuilder
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.stream_cache import StreamCache
from sagaledger.infrastructure.read_models.rebuild import rebuild
from sagaledger.infrastructure.runtime.clock import Clock
from sagaledger.infrastructure.worker.engine import Engine
from sagaledger.infrastructure.worker.messages import AttemptEnded, Dispatch, EngineMessage
from sagaledger.infrastructure.worker.steps.attempt import attempt
from sagaledger.infrastructure.worker.steps.running_attempt import RunningAttempt
from sagaledger.infrastructure.worker.steps.thread_runner import ThreadRunner

from .voyage import Harbour, app_with

TURNS_MAX = 400
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
VOYAGES = ("smooth", "refused", "stuck", "cancelled")


class Watch:
    """A clock that only moves when somebody waits."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds

    @property
    def clock(self) -> Clock:
        """It, as a ledger's clock."""
        return Clock(lambda: datetime.now(UTC), lambda: self.seconds, self.wait)


def open_ledger(url: str, folder: Path, watch: Watch) -> Ledger:
    """The ledger of this life."""
    return Ledger(open_backend(url, create=True), app_with(Harbour(folder)), clock=watch.clock)


def live(url: str, folder: Path) -> None:
    """Bring everything to its end."""
    watch = Watch()
    with open_ledger(url, folder, watch) as ledger:
        _begin(ledger)
        _work(ledger, Harbour(folder), watch)
        rebuild(ledger.backend, ledger.context.codec, ledger.context.queries.projection("orders"))


def _begin(ledger: Ledger) -> None:
    """What a client does; doing it again changes nothing."""
    _open_stock(ledger)
    for order_id, method in (("F-1", "card"), ("F-2", DECLINED_CARD)):
        lines = (OrderLine("lamp", 2, 500), OrderLine("teapot", 1, 900))
        ledger.start("fulfil_order", Order(order_id, NOON, lines, customer_id="ann", payment_method=method))
    ledger.start("return_goods", Return("R-1", NOON, (ReturnLine("lamp", 1, 500),), customer_id="ann"))
    for fate in VOYAGES:
        saga_id = ledger.start("voyage", fate).saga_id
        known = [recorded.event for recorded in ledger.history(saga_id, participants=False)]
        if not any(isinstance(fact, SignalReceived) for fact in known):
            ledger.signal(saga_id, "weather", "fair", actor="captain")
        if fate == "cancelled" and not ledger.state(saga_id).compensating:
            ledger.cancel(saga_id, actor="captain", reason="ill")


def _open_stock(ledger: Ledger) -> None:
    stream_cache = StreamCache(ledger.app, ledger.backend, ledger.context.codec)

    def receive() -> AppendBuilder:
        draft = stream_cache.draft("delivery", Meta())
        draft.handle([OpenStock("lamp", 10, "first"), OpenStock("teapot", 10, "first")], NOON)
        return draft

    [draft] = stream_cache.build([receive])
    if draft.events:
        ledger.backend.append(AppendCall(uuid4(), [draft.append()]))


def _work(ledger: Ledger, harbour: Harbour, watch: Watch) -> None:
    """Turn by turn, until every saga has ended and every view has reached the end of the log."""
    engine = Engine(ledger.context, concurrency=100, lease_seconds=600.0)
    projector = ledger.projector()
    threads = ThreadRunner(1)
    inbox: list[EngineMessage] = []
    for _ in range(TURNS_MAX):
        turn = engine.turn(inbox)
        inbox = [message for dispatch in turn.dispatch for message in asyncio.run(_attempt(dispatch, threads))]
        if not inbox:
            projector.run_once()
            if _all_ended(ledger):
                break
            _help_the_stuck(ledger, harbour)
            watch.wait(engine.seconds_to_wait())
    else:
        raise AssertionError(f"not everything ended within {TURNS_MAX} turns")
    engine.finish()
    projector.catch_up()
    projector.stop()


async def _attempt(dispatch: Dispatch, threads: ThreadRunner) -> list[EngineMessage]:
    """Make an attempt; returns what it told, and its outcome."""
    told: list[EngineMessage] = []
    outcome = await attempt(RunningAttempt(dispatch, asyncio.get_running_loop(), told.append), threads)
    return [*told, AttemptEnded(dispatch.saga, dispatch.attempt, outcome)]


def _all_ended(ledger: Ledger) -> bool:
    return not ledger.backend.entries() and all(ledger.state(id_).end is not None for id_ in SAGA_IDS)


def _help_the_stuck(ledger: Ledger, harbour: Harbour) -> None:
    if ledger.state("voyage-stuck").interventions:
        harbour.repair()
        ledger.intervene("voyage-stuck", Action.RETRY, actor="captain", reason="the office has opened")


SAGA_IDS = ("fulfil_order-F-1", "fulfil_order-F-2", "return_goods-R-1", *(f"voyage-{fate}" for fate in VOYAGES))
