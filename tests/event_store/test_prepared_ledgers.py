"""The ledgers that tests are lent: one that was used is as good as a new one, or is not lent again."""

from __future__ import annotations

from itertools import count

import psycopg
import pytest

from sagaledger.infrastructure.event_store.connect import open_backend

from ..prepared_ledgers import PreparedSchemas, create_log
from .conftest import Pen

_NUMBERS = count(1)


@pytest.fixture
def schemas(postgres_server: str) -> PreparedSchemas:
    def create_lent(url: str) -> None:
        create_log(url)

    create_lent.__name__ += str(next(_NUMBERS))
    return PreparedSchemas(postgres_server, create_lent)


END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
"""Ends the connections that tests before have left open."""


def test_a_ledger_that_was_written_to_is_emptied_and_lent_again(
    schemas: PreparedSchemas, pen: Pen, postgres_server: str
) -> None:
    """Events, the head, tables and sequences are those of a new one."""
    with psycopg.connect(postgres_server, autocommit=True) as server:
        server.execute(END_OTHERS)
    with schemas.lend() as first:
        log = open_backend(first)
        log.append(pen.call(pen.append("a", 1, 2)))
        log.close()
        with psycopg.connect(first) as server:
            server.execute("CREATE TABLE mine ()")
            server.execute("SELECT nextval('worker_epochs')")

    with schemas.lend() as second:
        log = open_backend(second)
        assert (second, log.head().position, log.read(0, limit=1)) == (first, 0, [])
        assert log.append(pen.call(pen.append("a", 1))).outcomes
        log.close()
        with psycopg.connect(second) as server:
            assert server.execute("SELECT to_regclass('mine'), nextval('worker_epochs')").fetchone() == (None, 1)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE events DISABLE TRIGGER events_continue",
        "ALTER TABLE head ADD COLUMN more integer",
        "ALTER TABLE events RENAME TO happened",
        "DROP INDEX due_free",
        "ALTER TABLE events ADD CHECK (version < 0)",
        "CREATE OR REPLACE FUNCTION refuse_stray_append() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "GRANT SELECT ON events TO pg_monitor",
    ],
)
def test_a_ledger_whose_definitions_were_changed_is_not_lent_again(schemas: PreparedSchemas, change: str) -> None:
    """Triggers, columns, names, indexes, constraints, functions and rights."""
    with schemas.lend() as first, psycopg.connect(first) as server:
        server.execute(change)

    with schemas.lend() as second:
        assert second != first


def test_a_ledger_to_which_a_connection_is_open_is_not_lent_again(schemas: PreparedSchemas) -> None:
    """It might write to it."""
    with schemas.lend() as first:
        left = psycopg.connect(first)

    with left, schemas.lend() as second:
        assert second != first
