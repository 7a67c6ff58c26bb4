"""A campaign: sagas start while workers, database and connections break, and then everything is audited."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

import psycopg

from sagaledger import Ledger

from .app import APP
from .audit import Finding, audit
from .client import Client
from .database import Database
from .fleet import Fleet, courier
from .orders import Wish, opening_stock, wishes
from .proxy import Proxy
from .schedule import Blow, Round, Settings, schedule
from .takeover import TakeOvers

log = logging.getLogger(__name__)

TICK_SECONDS = 0.05
DOWN_SECONDS = 1.0
"""How long the database stays away when it crashes."""
BEYOND_SECONDS = 1.5
"""How long after its lease a worker is held up: long enough for others to have taken over."""
ROUND_SECONDS_MAX = 180.0
BACKLOG_PER_WORKER_MAX = 20
ANSWER_SECONDS_MAX = 0.5
"""How long a saga waits for the service's answer; the service is late by twice as much."""


class Report(NamedTuple):
    """What a campaign showed."""

    findings: list[Finding]
    figures: dict[str, object]

    @property
    def violations(self) -> int:
        """How many violations were found, of every kind."""
        return sum(len(finding.violations) for finding in self.findings)


def run(settings: Settings, folder: Path) -> Report:
    """Run a campaign; its files (messages of the workers, the service's database) stay in the folder."""
    began = monotonic()
    wanted = wishes(settings)
    with _stage(settings, folder, wanted) as stage:
        broke = _perform(stage, settings, wanted)
        figures = {
            "sagas": len(stage.client.acknowledged),
            **broke,
            "connections_cut": stage.proxy.cuts,
            "replies_lost": stage.proxy.lost,
            "appends_held_back": stage.proxy.held_back,
            "starts_tried_again": stage.client.refused,
            "workers_without_database": stage.fleet.unlaunched,
            "leases_lost": stage.fleet.messages("lost its lease"),
            "take_overs": len(stage.take_overs.seen),
            "take_overs_disturbed": sum(seen.disturbed for seen in stage.take_overs.seen),
            "take_over_p99_seconds": stage.take_overs.p99_seconds(),
        }
        findings = audit(stage.database.url, folder / "courier.sqlite", stage.client.acknowledged, stage.fleet.ended)
        findings.append(_take_over_in_time(figures["take_over_p99_seconds"], settings))
        figures["events"] = _head(stage.database.url)
    return Report(findings, {**figures, "seconds": round(monotonic() - began, 1)})


class Stage(NamedTuple):
    """Everything that takes part."""

    database: Database
    proxy: Proxy
    fleet: Fleet
    client: Client
    take_overs: TakeOvers


@contextmanager
def _stage(settings: Settings, folder: Path, wanted: list[Wish]) -> Iterator[Stage]:
    with ExitStack() as stack:
        database = stack.enter_context(Database())
        Ledger.open(database.url, APP, create=True).close()
        database.watch_leases()
        proxy = stack.enter_context(Proxy(database.socket))
        url = database.url_through(proxy.folder)
        client = Client(url)
        stack.callback(client.close)
        client.stock(opening_stock(wanted))
        address = stack.enter_context(
            courier(folder, misbehave=settings.misbehave, late_seconds=2 * ANSWER_SECONDS_MAX, seed=settings.seed)
        )
        environment = {"COURIER_URL": address, "COURIER_ANSWER_SECONDS_MAX": str(ANSWER_SECONDS_MAX)}
        fleet = Fleet(url, settings.workers, settings.lease_seconds, environment, folder)
        stack.callback(fleet.abandon)
        take_overs = TakeOvers(database.url)
        stack.callback(take_overs.close)
        yield Stage(database, proxy, fleet, client, take_overs)


def _perform(stage: Stage, settings: Settings, wanted: list[Wish]) -> dict[str, object]:
    """Every round, and then quiet until every saga is at rest; gives how often each blow fell."""
    fell: dict[Blow, int] = {}
    remaining = iter(wanted)
    for number in range(settings.workers):
        _await_at_work(stage, number)
    with ThreadPoolExecutor(1, thread_name_prefix="client") as background:
        for turn in schedule(settings):
            batch = [next(remaining) for _ in range(turn.sagas)]
            _await_at_work(stage, turn.target)
            starting = background.submit(stage.client.start, batch)
            _pass(stage, turn.delay_seconds)
            log.info("round %d: %d sagas, %s, worker %d", turn.number, turn.sagas, turn.blow, turn.target)
            _strike(stage, turn, settings)
            fell[turn.blow] = fell.get(turn.blow, 0) + 1
            _await(stage, starting)
            _await_room(stage)
    left = _settle(stage, settings)
    stage.fleet.stop()
    return {f"blows_{blow.name.lower()}": times for blow, times in sorted(fell.items())} | {"sagas_unsettled": left}


def _strike(stage: Stage, turn: Round, settings: Settings) -> None:
    match turn.blow:
        case Blow.KILL:
            stage.take_overs.orphaned(stage.fleet.kill(turn.target))
            if not stage.fleet.at_work:
                stage.take_overs.disturb()  # nobody is there to take over
        case Blow.FREEZE:
            stage.take_overs.disturb()
            stage.fleet.freeze(turn.target, settings.lease_seconds + BEYOND_SECONDS)
        case Blow.CRASH:
            stage.take_overs.disturb()
            stage.database.crash()
            _pass(stage, DOWN_SECONDS)
            stage.database.start()
        case Blow.CUT:
            stage.proxy.cut()
        case Blow.LOSE_REPLY:
            stage.proxy.lose_reply()
        case Blow.HOLD_BACK:
            stage.proxy.hold_back(settings.lease_seconds + BEYOND_SECONDS)
        case Blow.NONE:
            pass


def _pass(stage: Stage, seconds: float) -> None:
    """Let time go by, and tend the workers."""
    until = monotonic() + seconds
    while True:
        stage.fleet.tend()
        remaining = until - monotonic()
        if remaining <= 0:
            return
        sleep(min(TICK_SECONDS, remaining))


def _await(stage: Stage, starting: Future[None]) -> None:
    deadline = monotonic() + ROUND_SECONDS_MAX
    while not starting.done() and monotonic() < deadline:
        _pass(stage, TICK_SECONDS)
    starting.result(timeout=1.0)


def _await_room(stage: Stage) -> None:
    """Wait until the workers keep up again: a campaign is about what breaks, not about how much fits on a machine."""
    most = BACKLOG_PER_WORKER_MAX * len(stage.fleet.workers)
    deadline = monotonic() + ROUND_SECONDS_MAX
    while _due(stage) > most and monotonic() < deadline:
        _pass(stage, TICK_SECONDS)


def _await_at_work(stage: Stage, number: int) -> None:
    """Wait until a worker is at work: to hit one that has not begun yet proves nothing."""
    deadline = monotonic() + ROUND_SECONDS_MAX
    while not stage.fleet.workers[number].at_work or stage.fleet.workers[number].thaw_at is not None:
        if monotonic() > deadline:
            raise TimeoutError(f"worker {number} does not come to work: {stage.fleet.workers[number].last_words()}")
        _pass(stage, TICK_SECONDS)


def _settle(stage: Stage, settings: Settings) -> int:
    """Wait until no saga is due any more; gives how many still are when the time is up."""
    deadline = monotonic() + settings.settle_seconds_max
    while (left := _due(stage)) > 0 and monotonic() < deadline:
        _pass(stage, TICK_SECONDS)
    return left


def _due(stage: Stage) -> int:
    """How many sagas want a worker, or have one."""
    with psycopg.connect(stage.database.url, autocommit=True) as connection:
        [(due,)] = connection.execute("SELECT count(*) FROM due")
    return int(due)


def _take_over_in_time(p99_seconds: object, settings: Settings) -> Finding:
    """A dead worker's sagas are in other hands within the lease and a second."""
    limit = settings.lease_seconds + 1
    late = isinstance(p99_seconds, float) and p99_seconds >= limit
    violations = [f"99 of 100 were taken over within {p99_seconds:.2f} s"] if late else []
    return Finding(f"a killed worker's sagas are taken over within {limit:g} s", violations)


def _head(url: str) -> int:
    with Ledger.open(url, APP) as ledger:
        return ledger.backend.head().position
