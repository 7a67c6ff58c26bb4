"""What only a person can mend ends all that works in the background, and not only the worker's engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import psycopg
import pytest

from sagaledger.infrastructure.choreography.in_process_bus import InProcessBus
from sagaledger.infrastructure.choreography.nats.consumer import NatsConsumer
from sagaledger.infrastructure.choreography.nats.outbox_relay import OutboxRelay
from sagaledger.infrastructure.cli.exit_codes import ExitCode
from sagaledger.infrastructure.errors import (
    NEEDS_A_PERSON,
    DamagedLedger,
    NotALedger,
    PermanentlyUnavailable,
    Unavailable,
)
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.runtime.retrying_thread import RetryingThread
from sagaledger.infrastructure.shop.app import APP
from sagaledger.infrastructure.worker.worker import Worker

from ..choreography.conftest import Shop, order
from ..choreography.processes import Nats
from ..cli.shell import PATIENCE_SECONDS, Shell
from ..worker.test_permanent_errors import lock_out, role_in

REFUSED = "not permitted to log in"


@pytest.fixture
def role(postgres_server: str, postgres_url: str) -> Iterator[str]:
    """A role that may do everything in the ledger's schema."""
    with role_in(postgres_server, postgres_url) as name:
        yield name


@pytest.fixture
def shop(postgres_url: str, role: str) -> Iterator[Shop]:
    """A shop on a ledger of that role."""
    with Ledger.open(postgres_url.replace("postgres:@", f"{role}:@"), APP, create=True) as ledger:
        shop = Shop(ledger)
        shop.stock(sku1=100)
        shop.drain()
        yield shop


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Nats]:
    """A NATS server."""
    server = Nats(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.mark.parametrize("work", ["projector", "bus"])
def test_a_thread_ends_with_the_error(shop: Shop, role: str, postgres_server: str, work: str) -> None:
    """Whoever started it finds the error in `ended`."""
    running = shop.ledger.projector() if work == "projector" else InProcessBus(shop.ledger)
    running.start()

    lock_out(postgres_server, role)

    with pytest.raises(PermanentlyUnavailable, match=REFUSED):
        running.ended.result(PATIENCE_SECONDS)
    running.stop()


@pytest.mark.parametrize("work", ["consumer", "relay"])
def test_what_uses_a_broker_ends_with_the_error(
    shop: Shop, role: str, postgres_server: str, nats: Nats, work: str
) -> None:
    """An outage of the ledger's database would be waited out."""
    service = next(iter(APP.services.values()))

    async def scene() -> None:
        runner = (
            NatsConsumer(shop.ledger, service, nats.url) if work == "consumer" else OutboxRelay(shop.ledger, nats.url)
        )
        running = asyncio.create_task(runner.run(asyncio.Event()))
        await asyncio.to_thread(lock_out, postgres_server, role)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await running

    shop.place(order("T1"))
    with pytest.raises(PermanentlyUnavailable, match=REFUSED):
        asyncio.run(scene())


def test_views_that_may_not_be_written_end_the_worker(shop: Shop, postgres_url: str) -> None:
    """Its sagas would go on, and nobody would see it: it says so, and ends in order."""

    async def scene() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), Worker(shop.ledger) as worker:
            await asyncio.to_thread(_take_away, postgres_url, "orders")
            shop.place(order("T1"))
            InProcessBus(shop.ledger).drain()
            await worker.run_until(asyncio.Event())

    with pytest.raises(PermanentlyUnavailable, match="permission denied for table orders"):
        asyncio.run(scene())


def test_the_command_that_runs_services_ends(tmp_path: Path, shop: Shop, role: str, postgres_server: str) -> None:
    """With the exit code of a database that cannot be used, and its message."""
    shell = Shell(tmp_path, shop.ledger.backend.url)
    shell.environment["SAGALEDGER_APP"] = "shop"
    process = shell.background("participants", "run")
    assert process.stderr is not None
    assert "reacting" in process.stderr.readline()

    lock_out(postgres_server, role)

    _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == ExitCode.UNAVAILABLE
    assert REFUSED in said
    shell.close()


@pytest.mark.parametrize("error", [PermanentlyUnavailable("denied"), NotALedger("gone"), DamagedLedger("edited")])
def test_a_thread_tries_again_what_passes_and_nothing_else(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """The errors before the last one pass."""
    left = [Unavailable("locked"), ZeroDivisionError(), SystemExit(), error, AssertionError("one step too many")]

    def step() -> float:
        raise left.pop(0)

    thread = retrying(step)
    thread.start()

    assert thread.ended.exception(PATIENCE_SECONDS) is error
    thread.stop()
    assert len(left) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3 + ["ERROR"]


def test_a_thread_can_be_started_again(caplog: pytest.LogCaptureFixture) -> None:
    """Once what ended it is mended."""
    outcomes = iter([PermanentlyUnavailable("denied")])
    stepped = Event()

    def step() -> float:
        for error in outcomes:
            raise error
        stepped.set()
        return 0.0

    thread = retrying(step)
    thread.start()
    assert thread.ended.exception(PATIENCE_SECONDS) is not None
    thread.stop()

    thread.start()

    assert stepped.wait(PATIENCE_SECONDS)
    thread.stop()
    assert thread.ended.exception(0) is None
    assert len(caplog.records) == 1


def retrying(step: Callable[[], float]) -> RetryingThread:
    logger = logging.getLogger("sagaledger.test")
    return RetryingThread("test", step, ends_at=NEEDS_A_PERSON, pauses="tests pause", logger=logger)


def _take_away(url: str, table: str) -> None:
    """Let the ledger's role use a table no longer."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("ALTER TABLE {} OWNER TO postgres").format(psycopg.sql.Identifier(table)))
