"""A lease ends under the lock that an append holds, so that no append is written under an ended one (PostgreSQL)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from sagaledger.infrastructure.errors import SupersededWorker
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend

if TYPE_CHECKING:
    from .conftest import Pen

PATIENCE_SECONDS = 20.0
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[Backend]:
    log = open_backend(postgres_url, create=True)
    yield log
    log.close()


@pytest.fixture
def head_holder(postgres_url: str, ledger: Backend) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that has locked the head, as an append has until it commits."""
    assert ledger.head().position == 0
    with psycopg.connect(postgres_url) as connection:
        connection.execute("SELECT FROM head FOR UPDATE")
        yield connection


def _wait_until_a_session_waits(url: str, call: Future[Any]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    with psycopg.connect(url, autocommit=True) as observer:
        while (observer.execute(WAITING).fetchone() or (0,))[0] == 0:
            assert not call.done(), "it did not wait for the lock"
            assert time.monotonic() < deadline
            observer.execute("SELECT pg_sleep(0.005)")


def test_an_append_sees_that_its_lease_ended_while_it_waited(
    postgres_url: str, ledger: Backend, head_holder: psycopg.Connection[Any], pen: Pen
) -> None:
    """It was sent while the lease held, and got the lock after the lease had ended."""
    token = ledger.register(host="h", pid=1, lease_seconds=60)

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(ledger.append, pen.call(pen.append("a", 1), token=token))
        _wait_until_a_session_waits(postgres_url, call)
        head_holder.execute("DELETE FROM workers")
        head_holder.commit()

        with pytest.raises(SupersededWorker):
            call.result(PATIENCE_SECONDS)
    assert ledger.head().position == 0


@pytest.mark.parametrize("ending", ["take_over", "retire"])
def test_a_lease_does_not_end_while_an_append_under_it_is_written(
    postgres_url: str, ledger: Backend, head_holder: psycopg.Connection[Any], ending: str
) -> None:
    """Ending it waits until that append is committed."""
    token = ledger.register(host="h", pid=1, lease_seconds=0)
    end = ledger.take_over if ending == "take_over" else lambda: ledger.retire(token)

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(end)
        _wait_until_a_session_waits(postgres_url, call)
        assert [worker.epoch for worker in ledger.workers()] == [token.epoch]
        head_holder.commit()
        call.result(PATIENCE_SECONDS)

    assert ledger.workers() == []


def test_sagas_are_released_after_the_append_that_is_being_written(
    postgres_url: str, ledger: Backend, head_holder: psycopg.Connection[Any]
) -> None:
    """Releasing locks many rows of the queue, as an append does: one waits for the other, and never both."""
    token = ledger.register(host="h", pid=1, lease_seconds=60)

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(ledger.release, token, ["trip-1", "trip-2"])
        _wait_until_a_session_waits(postgres_url, call)
        head_holder.commit()

        call.result(PATIENCE_SECONDS)
