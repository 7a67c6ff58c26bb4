"""A worker with one connection to read with and one to append with, shared by many threads."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.errors import Unavailable
from sagaledger.infrastructure.event_store.postgres import pool as postgres_pool
from sagaledger.infrastructure.event_store.postgres.store import PostgresStore
from sagaledger.infrastructure.ledger.ledger import Ledger

from .conftest import worker_on
from .goods import FILLING, Fill, goods_app

CROWD = 40


def _connected(url: str) -> int:
    with psycopg.connect(url) as connection:
        counted = connection.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'sagaledger'"
        )
        (connections,) = counted.fetchone() or (0,)
        return int(connections)


def test_one_connection_is_enough(postgres_url: str) -> None:
    """A thread that finds the connection lent waits for it: all sagas complete."""
    log = PostgresStore(postgres_url, create=True, connections=1)
    ledger = Ledger(log, goods_app())

    async def scene() -> int:
        async with asyncio.timeout(60), worker_on(ledger, concurrency=CROWD) as worker:
            own = [worker.start(FILLING, [Fill("a", 1)], key=f"own-{number}") for number in range(CROWD)]
            others = [
                asyncio.to_thread(ledger.start, FILLING, [Fill("a", 1)], key=f"other-{number}")
                for number in range(CROWD)
            ]
            started = await asyncio.gather(*own, *others)
            outcomes = await asyncio.gather(*(worker.outcome(saga.saga_id) for saga in started))
            assert {state.status for state in outcomes} == {Status.COMPLETED}
            return await asyncio.to_thread(_connected, postgres_url)

    connected = asyncio.run(scene())

    assert len(log.stream("shelf-a")) == 2 * CROWD
    assert connected == 2
    ledger.close()


def test_who_waits_too_long_is_told(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is never returned does not block the others for ever: they get an error that says why."""
    monkeypatch.setattr(postgres_pool, "WAIT_SECONDS", 0.01)
    log = PostgresStore(postgres_url, create=True, connections=1)

    lent = log._database._pool.borrow()  # like a thread that hangs during its statement
    with pytest.raises(Unavailable, match="all 1 connections of this process were in use"):
        log.head()
    log._database._pool.give_back(lent)

    assert log.head().position == 0
    log.close()
