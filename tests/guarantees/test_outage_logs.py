"""An outage is logged once by a whole process: when it begins, a reminder now and then, and when it has ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from sagaledger.infrastructure.choreography.in_process_bus import InProcessBus
from sagaledger.infrastructure.choreography.nats.consumer import NatsConsumer
from sagaledger.infrastructure.choreography.nats.outbox_relay import OutboxRelay
from sagaledger.infrastructure.errors import NEEDS_A_PERSON, Unavailable
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.runtime import outage_log
from sagaledger.infrastructure.runtime.outage_log import BRIEF_SECONDS, REMINDER_SECONDS, OutageLog
from sagaledger.infrastructure.runtime.retrying_thread import RetryingThread
from sagaledger.infrastructure.shop.app import APP
from sagaledger.infrastructure.worker.worker import Worker

from ..choreography.conftest import Shop, order
from ..choreography.processes import Nats
from ..worker.conftest import play, until
from ..worker.test_permanent_errors import role_in

HIDDEN = "s3cr3t"
TRIES = 12


@pytest.fixture
def role(postgres_server: str, postgres_url: str) -> Iterator[str]:
    """A role whose connections can be refused."""
    with role_in(postgres_server, postgres_url) as name:
        yield name


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged, also for debugging."""
    with caplog.at_level(logging.DEBUG, "sagaledger"):
        yield caplog


class Clockwork:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_outage_of_the_database_is_logged_once_and_so_is_its_end(
    postgres_server: str, postgres_url: str, role: str, told: pytest.LogCaptureFixture
) -> None:
    """Though the engine, the views and the services all meet it, many times; no password is in the log."""
    url = postgres_url.replace("postgres:@", f"{role}:{HIDDEN}@")
    with Ledger.open(url, APP, create=True) as ledger, psycopg.connect(postgres_server, autocommit=True) as admin:
        shop = Shop(ledger)
        shop.stock(sku1=100)
        bus = InProcessBus(ledger)

        async def scene() -> None:
            async with Worker(ledger) as worker:
                await worker.idle()
                bus.start()
                _admit(admin, role, connections=0)
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [role])
                await until(lambda: len(_tries(told)) >= TRIES and _trying(told) == PARTS)
                _admit(admin, role, connections=-1)
                await until(lambda: any("can be used again" in message for message in told.messages))
                assert await asyncio.to_thread(shop.place, order("T1")) == 1

        try:
            play(scene())
        finally:
            bus.stop()

    lines = [record for record in told.records if record.name == outage_log.__name__ and record.levelno > logging.DEBUG]
    assert [record.levelname for record in lines] == ["WARNING", "INFO"]
    assert lines[0].getMessage().startswith("the database cannot be used now, and is tried again: ")
    assert lines[0].error_type == "Unavailable"  # type: ignore[attr-defined]
    assert lines[1].duration_seconds > 0  # type: ignore[attr-defined]
    ours = [record for record in told.records if record.name.startswith("sagaledger")]  # the driver has a say, too
    assert [record for record in ours if record.levelno >= logging.WARNING] == lines[:1]
    assert HIDDEN not in told.text


def test_an_outage_of_the_broker_is_logged_once_and_so_is_its_end(
    sqlite_url: str, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    """Though the relay and every service of the process meet it."""
    nats = Nats(tmp_path)
    nats.start()
    with Ledger.open(sqlite_url, APP, create=True) as ledger:
        shop = Shop(ledger)
        shop.stock(sku1=100)
        runners = [OutboxRelay(ledger, nats.url)] + [NatsConsumer(ledger, s, nats.url) for s in APP.services.values()]

        async def scene() -> None:
            stopping = asyncio.Event()
            shop.place(order("T1"))
            running = [asyncio.create_task(runner.run(stopping)) for runner in runners]
            await until(lambda: "OrderCompleted" in _topics(ledger))  # each service is connected, and has worked
            nats.kill()
            await until(lambda: len(_tries(told)) >= len(runners))
            nats.start()
            await until(lambda: any("can be used again" in message for message in told.messages))
            stopping.set()
            await asyncio.gather(*running)

        try:
            play(scene())
        finally:
            nats.kill()

    lines = [record for record in told.records if record.name == outage_log.__name__ and record.levelno > logging.DEBUG]
    assert [record.levelname for record in lines] == ["WARNING", "INFO"]
    assert lines[0].getMessage().startswith("the broker cannot be used now, and is tried again: ")


PARTS = {"the engine", "sagaledger-projector", "sagaledger-services"}


def _trying(told: pytest.LogCaptureFixture) -> set[str]:
    """Which parts have met the outage again."""
    return {part for part in PARTS if any(part in text for text in _tries(told))}


def _topics(ledger: Ledger) -> set[str]:
    """The types of the events in the log."""
    head = ledger.backend.head().position
    return {row.topic for row in ledger.backend.read(0, limit=1000, upto=head)}


def _tries(told: pytest.LogCaptureFixture) -> list[str]:
    """What the parts of the process log for debugging when they try again; the first part is in the warning."""
    found = [record for record in told.records if record.name == outage_log.__name__]
    return [record.getMessage() for record in found if record.levelno == logging.DEBUG]


def _admit(admin: psycopg.Connection, role: str, *, connections: int) -> None:
    statement = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}")
    admin.execute(statement.format(sql.Identifier(role), sql.Literal(connections)))


def test_a_long_outage_is_logged_again_once_a_minute(told: pytest.LogCaptureFixture) -> None:
    """However often it is met."""
    clock = Clockwork()
    outage = OutageLog("the database", clock)

    for _ in range(1501):  # five minutes, and five times a second
        outage.note("engine", Unavailable("no answer"))
        outage.note("views", Unavailable("refused"))
        clock.now += 0.2
    outage.end("views")

    assert _shown(told) == [
        "the database cannot be used now, and is tried again: no answer",
        *(f"the database cannot be used, for {60 * minute} s now: no answer" for minute in range(1, 6)),
        "the database can be used again, after 300.2 s",
    ]


def test_outages_that_come_and_go_are_logged_once_a_minute(told: pytest.LogCaptureFixture) -> None:
    """Such as locks of a SQLite file; one that lasts is logged all the same."""
    clock = Clockwork()
    outage = OutageLog("the database", clock)

    for _ in range(200):  # within a minute
        outage.note("engine", Unavailable("locked"))
        clock.now += BRIEF_SECONDS / 10
        outage.end("engine")
        clock.now += BRIEF_SECONDS / 10
    assert len(_shown(told)) == 2
    outage.note("engine", Unavailable("locked"))
    clock.now += 1.1 * BRIEF_SECONDS
    outage.note("engine", Unavailable("locked"))
    outage.end("engine")
    assert len(_shown(told)) == 4
    clock.now += 1.1 * REMINDER_SECONDS
    outage.note("engine", Unavailable("locked"))

    assert len(_shown(told)) == 5


def test_a_connection_of_before_an_outage_is_no_new_outage(told: pytest.LogCaptureFixture) -> None:
    """A part that was idle meanwhile meets it late, once; a part that meets it again meets another one."""
    clock = Clockwork()
    outage = OutageLog("the database", clock)
    outage.note("engine", Unavailable("refused"))
    outage.end("engine")
    clock.now += 10 * REMINDER_SECONDS

    outage.note("reconciler", Unavailable("the connection is closed"))
    outage.end("reconciler")
    assert len(_shown(told)) == 2
    outage.note("reconciler", Unavailable("refused"))

    assert len(_shown(told)) == 3


def test_only_a_part_that_met_the_outage_ends_it(told: pytest.LogCaptureFixture) -> None:
    """One that needs nothing of the database in the meantime knows nothing of it."""
    outage = OutageLog("the broker", Clockwork())
    outage.note("relay", Unavailable("gone"))

    outage.end("service payments")

    assert outage.is_open
    assert len(_shown(told)) == 1


def test_an_error_of_a_thread_is_logged_once_for_each_cause(told: pytest.LogCaptureFixture) -> None:
    """With its traceback, and once more when the thread goes on."""
    errors: list[Exception] = [ZeroDivisionError("a"), ZeroDivisionError("a"), ZeroDivisionError("b"), KeyError("a")]

    def step() -> float:
        if errors:
            raise errors.pop(0)
        return 60.0

    thread = RetryingThread(
        "test", step, ends_at=NEEDS_A_PERSON, pauses="tests pause", logger=logging.getLogger("sagaledger.test")
    )
    thread.start()
    play(until(lambda: any("no longer" in message for message in told.messages)))
    thread.stop()

    records = [record for record in told.records if record.levelno > logging.DEBUG]
    assert [record.getMessage() for record in records[:-1]] == [
        "tests pause, and it is tried again: a",
        "tests pause, and it is tried again: b",
        "tests pause, and it is tried again: 'a'",
    ]
    assert all(record.exc_info for record in records[:-1])
    assert records[-1].levelname == "INFO"


def _shown(told: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in told.records if record.levelno > logging.DEBUG]
