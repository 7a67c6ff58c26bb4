"""A ledger works in any database that an administrator set up, whatever its role or the environment say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from time import monotonic, sleep
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.errors import PermanentlyUnavailable, Unavailable
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.postgres.store import PostgresStore
from sagaledger.infrastructure.event_store.verify import verify
from sagaledger.infrastructure.ledger.ledger import Ledger

from ..ledger.trip import APP, Trip, trip
from ..worker.conftest import play, worker_on

NUMBERS = count(1)
SETTINGS = [
    ("client_encoding", "LATIN1"),
    ("client_encoding", "SQL_ASCII"),
    ("default_transaction_isolation", "repeatable read"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_read_only", "on"),
    ("default_transaction_deferrable", "on"),
    ("datestyle", "German, DMY"),
    ("datestyle", "SQL, MDY"),
    ("timezone", "Asia/Kathmandu"),
    ("intervalstyle", "iso_8601"),
    ("bytea_output", "escape"),
    ("extra_float_digits", "-15"),
    ("standard_conforming_strings", "off"),
    ("array_nulls", "off"),
    ("lock_timeout", "1ms"),
    ("statement_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "2s"),
    ("synchronous_commit", "off"),
    ("search_path", "elsewhere"),
]
RELIED_ON = {
    "client_encoding": "UTF8",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "datestyle": "ISO, YMD",
    "timezone": "UTC",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "lock_timeout": "10s",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "synchronous_commit": "on",
}
VARIABLES = [
    ("PGCLIENTENCODING", "LATIN1"),
    ("PGDATESTYLE", "German"),
    ("PGTZ", "Asia/Kathmandu"),
    ("PGAPPNAME", "München"),
]


@contextmanager
def role_with(server: str, schema: str, name: str, value: str) -> Iterator[str]:
    """A role that owns a schema and has a setting; its name."""
    role = f"careful_{next(NUMBERS)}"
    identifier = sql.Identifier(role)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(identifier))
        connection.execute(sql.SQL("GRANT ALL ON SCHEMA {} TO {}").format(sql.Identifier(schema), identifier))
        values = sql.SQL(", ").join(map(sql.Literal, value.split(", ")))
        connection.execute(sql.SQL("ALTER ROLE {} SET {} = {}").format(identifier, sql.Identifier(name), values))
    try:
        yield role
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(identifier))
            connection.execute(sql.SQL("DROP ROLE {}").format(identifier))


def live(url: str) -> None:
    """Start a saga, let a worker take it to its end, and read everything back."""
    with Ledger.open(url, APP, create=True) as ledger:
        saga_id = ledger.start(trip, Trip("Zürich", 2), actor="Łukasz").saga_id

        async def scene() -> None:
            async with worker_on(ledger) as worker:
                assert (await worker.outcome(saga_id)).status is Status.COMPLETED

        play(scene())
        projector = ledger.projector()
        projector.catch_up()
        projector.stop()
        rows = ledger.query("sagas", where={"saga_id": saga_id}).rows
        assert [(row["saga_id"], row["status"]) for row in rows] == [("trip-Zürich.2", "completed")]
        assert ledger.history(saga_id)[0].meta.actor == "Łukasz"
        assert verify(ledger.backend).problems == []


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_a_setting_of_the_role_changes_nothing(postgres_server: str, postgres_url: str, name: str, value: str) -> None:
    """Every connection sets what the ledger relies on: those of the log, of the senders and of the views."""
    schema = postgres_url.rpartition("%3D")[2]
    with role_with(postgres_server, schema, name, value) as role:
        live(postgres_url.replace("postgres:@", f"{role}:@"))


@pytest.mark.parametrize(("name", "value"), [setting for setting in SETTINGS if setting[0] != "search_path"])
def test_a_setting_in_the_url_changes_nothing(postgres_url: str, name: str, value: str) -> None:
    """As it would in the variable PGOPTIONS."""
    live(postgres_url + quote(f" -c{name}={value.replace(' ', chr(92) + ' ')}"))


def test_every_connection_has_what_the_ledger_relies_on(postgres_server: str, postgres_url: str) -> None:
    """However many settings the role has: log, senders and views see their own."""
    schema = postgres_url.rpartition("%3D")[2]
    with role_with(postgres_server, schema, "search_path", "elsewhere") as role:
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            for name, value in SETTINGS[2:]:
                values = sql.SQL(", ").join(map(sql.Literal, value.split(", ")))
                setting = (sql.Identifier(role), sql.Identifier(name), values)
                connection.execute(sql.SQL("ALTER ROLE {} SET {} = {}").format(*setting))
        store = PostgresStore(postgres_url.replace("postgres:@", f"{role}:@"), create=True)
        ask = "SELECT " + ", ".join(f"current_setting('{name}')" for name in RELIED_ON)
        with store._database.transaction() as of_the_log, store.views.writing() as of_the_views:
            found = [of_the_log.execute(ask).fetchone(), tuple(of_the_views.execute(text(ask)).one())]
        sender = store._senders.borrow()
        found.append(sender.execute(ask).fetchone())
        store._senders.give_back(sender)
        store.close()

    assert found == [tuple(RELIED_ON.values())] * 3


def test_a_stronger_commit_stays(postgres_server: str, postgres_url: str) -> None:
    """An administrator who has every commit wait for the standbys' answers gets that for the ledger, too."""
    schema = postgres_url.rpartition("%3D")[2]
    with role_with(postgres_server, schema, "synchronous_commit", "remote_apply") as role:
        store = PostgresStore(postgres_url.replace("postgres:@", f"{role}:@"), create=True)
        with store._database.transaction() as connection:
            assert connection.execute("SHOW synchronous_commit").fetchone() == ("remote_apply",)
        store.close()


def test_a_server_that_is_set_to_refuse_writing_is_obeyed(postgres_server: str, postgres_url: str) -> None:
    """In the server's own configuration it fences off a demoted primary."""
    open_backend(postgres_url, create=True).close()
    configure_read_only(postgres_server, "on")
    try:
        with Ledger.open(postgres_url, APP) as ledger, pytest.raises(Unavailable, match="is read-only"):
            ledger.start(trip, Trip("Oslo", 1))
    finally:
        configure_read_only(postgres_server, "off")


def configure_read_only(server: str, value: str) -> None:
    """Set it in the server's configuration, and wait until new sessions have it."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        connection.execute("SELECT pg_reload_conf()")
    deadline = monotonic() + 10
    while True:
        with psycopg.connect(server, autocommit=True) as connection:
            if connection.execute("SHOW default_transaction_read_only").fetchone() == (value,):
                return
        assert monotonic() < deadline, "waited too long"
        sleep(0.01)


@pytest.mark.parametrize(("variable", "value"), VARIABLES)
def test_a_variable_of_the_environment_changes_nothing(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """A shell has them for other programs."""
    monkeypatch.setitem(os.environ, variable, value)

    live(postgres_url)


def test_a_ledger_stays_in_the_schema_that_it_was_opened_in(postgres_server: str, postgres_url: str) -> None:
    """A search path that the role is given later leads no connection elsewhere."""
    schema = postgres_url.rpartition("%3D")[2]
    Ledger.open(postgres_url, APP, create=True).close()
    with role_with(postgres_server, schema, "search_path", schema) as role:
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            every = sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA {} TO {}")
            connection.execute(every.format(sql.Identifier(schema), sql.Identifier(role)))
        with Ledger.open(postgres_server.replace("postgres:@", f"{role}:@"), APP) as ledger:
            with psycopg.connect(postgres_server, autocommit=True) as connection:
                connection.execute(sql.SQL("ALTER ROLE {} SET search_path = elsewhere").format(sql.Identifier(role)))
            saga_id = ledger.start(trip, Trip("Oslo", 1)).saga_id
            projector = ledger.projector()
            projector.catch_up()
            projector.stop()
            assert len(ledger.query("sagas").rows) == 1
            assert ledger.state(saga_id).version == 1


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_character_is_refused(postgres_server: str, encoding: str) -> None:
    """It would store some names and refuse others."""
    name = f"encoded_{next(NUMBERS)}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C'").format(
                sql.Identifier(name), sql.Literal(encoding)
            )
        )

    with pytest.raises(PermanentlyUnavailable, match=f"{encoding}.*ENCODING 'UTF8'"):
        open_backend(postgres_server.replace("/postgres?", f"/{name}?"), create=True)
