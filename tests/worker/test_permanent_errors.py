"""An outage is waited out; what only a person can mend ends the worker, which says what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import psycopg
import pytest
from psycopg import sql

from sagaledger.domain.errors import SagaledgerError
from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.errors import DamagedLedger, NotALedger, PermanentlyUnavailable, Unavailable
from sagaledger.infrastructure.event_store.postgres.server_errors import explain
from sagaledger.infrastructure.ledger.ledger import Ledger

from ..ledger.trip import APP, Trip, trip
from .conftest import play, worker_on

NUMBERS = count(1)


@contextmanager
def role_in(postgres_server: str, empty_schema_url: str) -> Iterator[str]:
    """A role that may do everything in the ledger's schema."""
    name = f"working_{next(NUMBERS)}"
    grant = sql.SQL("GRANT ALL ON SCHEMA {} TO {}").format(
        sql.Identifier(empty_schema_url.rpartition("%3D")[2]), sql.Identifier(name)
    )
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        connection.execute(grant)
    yield name
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER ROLE {} RENAME TO {}").format(*map(sql.Identifier, (name, f"{name}_"))))
        connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(f"{name}_")))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(f"{name}_")))


@pytest.fixture
def role(postgres_server: str, empty_schema_url: str) -> Iterator[str]:
    with role_in(postgres_server, empty_schema_url) as name:
        yield name


@pytest.mark.parametrize(
    ("statement", "kind", "reason"),
    [
        ("ALTER TABLE events OWNER TO postgres", PermanentlyUnavailable, "permission denied for table events"),
        ("ALTER TABLE head RENAME TO tail", NotALedger, 'relation "head" does not exist'),
        ("DROP FUNCTION append_events", NotALedger, "function append_events.* does not exist"),
        ("ALTER TABLE events ADD CHECK (version < 0) NOT VALID", DamagedLedger, "violates check constraint"),
    ],
)
def test_what_a_person_must_mend_ends_the_worker(
    empty_schema_url: str, role: str, statement: str, kind: type[SagaledgerError], reason: str
) -> None:
    """Soon, with the database's own words; the saga goes on once it is mended and a worker runs again."""
    with Ledger.open(empty_schema_url.replace("postgres:@", f"{role}:@"), APP, create=True) as ledger:

        async def scene() -> None:
            async with worker_on(ledger) as worker:
                await worker.idle()
                with psycopg.connect(empty_schema_url, autocommit=True) as connection:
                    connection.execute(statement)  # type: ignore[arg-type]
                await worker.start(trip, Trip("Rome", 1))
                await worker.run_until(asyncio.Event())

        with pytest.raises(kind, match=reason):
            play(scene())


def test_a_role_that_may_log_in_no_longer_ends_the_worker(
    postgres_server: str, empty_schema_url: str, role: str
) -> None:
    """Its connections are cut and none is let in: that is not an outage."""
    with Ledger.open(empty_schema_url.replace("postgres:@", f"{role}:@"), APP, create=True) as ledger:

        async def scene() -> None:
            async with worker_on(ledger) as worker:
                await worker.idle()
                lock_out(postgres_server, role)
                await worker.run_until(asyncio.Event())

        with pytest.raises(PermanentlyUnavailable, match="not permitted to log in"):
            play(scene())


def test_an_outage_is_waited_out(postgres_server: str, empty_schema_url: str, role: str) -> None:
    """Connections are cut, and for a while no more of them are let in."""
    with Ledger.open(empty_schema_url.replace("postgres:@", f"{role}:@"), APP, create=True) as ledger:

        async def scene() -> None:
            async with worker_on(ledger) as worker:
                await worker.idle()
                with psycopg.connect(postgres_server, autocommit=True) as connection:
                    limit = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}")
                    connection.execute(limit.format(sql.Identifier(role), sql.Literal(0)))
                    _cut(connection, role)
                    await asyncio.sleep(0.5)
                    connection.execute(limit.format(sql.Identifier(role), sql.Literal(-1)))
                started = await worker.start(trip, Trip("Rome", 1))
                assert (await worker.outcome(started.saga_id)).status is Status.COMPLETED

        play(scene())


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("42501", PermanentlyUnavailable),
        ("42601", PermanentlyUnavailable),
        ("42P01", NotALedger),
        ("42883", NotALedger),
        ("28P01", PermanentlyUnavailable),
        ("3D000", PermanentlyUnavailable),
        ("53400", PermanentlyUnavailable),
        ("XX000", PermanentlyUnavailable),
        ("57P04", PermanentlyUnavailable),
        ("57P01", Unavailable),
        ("57P03", Unavailable),
        ("53300", Unavailable),
        ("53100", Unavailable),
        ("25006", Unavailable),
        ("40001", Unavailable),
        ("08006", Unavailable),
        ("58030", Unavailable),
    ],
)
def test_each_kind_of_error_is_one_or_the_other(state: str, kind: type[SagaledgerError]) -> None:
    """What is not listed as permanent counts as an outage."""
    error = psycopg.errors.lookup(state)("said the server") if state != "58030" else psycopg.errors.IoError("said")

    assert type(explain(error, place="db", url="postgresql://db")) is kind


def lock_out(postgres_server: str, role: str) -> None:
    """Let a role log in no longer, and cut its connections."""
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(role)))
        _cut(connection, role)


def _cut(connection: psycopg.Connection, role: str) -> None:
    connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (role,))
