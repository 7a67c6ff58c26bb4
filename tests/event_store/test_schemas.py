"""The schema of a ledger in PostgreSQL: its own by default, another by name, or where an earlier one is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import create_engine, text

from sagaledger.infrastructure.errors import NotALedger, PermanentlyUnavailable
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.ledger.ledger import Ledger

from ..guarantees.test_database_matrix import live
from ..ledger.trip import APP, Trip, trip
from ..poolers import pgbouncer


def schemas_of(url: str) -> dict[str, int]:
    """Return the schemas of a database that have tables, with how many."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT schemaname, count(*) FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') GROUP BY schemaname"
        )
        return {str(name): int(tables) for name, tables in found}


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def moved_to_public(url: str) -> str:
    """Make a ledger in `public`, as earlier versions did; returns the URL that leads there without naming it."""
    open_backend(f"{url}&options={quote('-csearch_path=public')}", create=True).close()
    return url


def test_a_new_ledger_has_a_schema_of_its_own(database_url: str) -> None:
    """Beside the tables of other programs, which keep `public`."""
    execute(database_url, "CREATE TABLE customers (id integer)")

    live(database_url)

    found = schemas_of(database_url)
    assert found.keys() == {"public", "sagaledger"}
    assert found["public"] == 1


def test_programs_that_create_it_at_once_wait_for_each_other(database_url: str) -> None:
    """The schema, too: none of them fails because another one was first."""
    with ThreadPoolExecutor(4) as pool:
        for backend in pool.map(lambda _: open_backend(database_url, create=True), range(4)):
            backend.close()

    assert schemas_of(database_url).keys() == {"sagaledger"}


def test_the_url_may_name_another_schema(database_url: str) -> None:
    """Exactly as it is written, and each schema has a ledger of its own."""
    live(f"{database_url}&schema=My%20Shop")
    live(f"{database_url}&schema=other")

    assert schemas_of(database_url).keys() == {"My Shop", "other"}
    with pytest.raises(NotALedger, match=r"schema 'sagaledger' of database .* is not a sagaledger database yet"):
        open_backend(database_url)


def test_a_ledger_to_which_the_search_path_leads_is_found(database_url: str) -> None:
    """An earlier version put it into `public`; the URL is as it was, and also creating it again makes no other."""
    live(moved_to_public(database_url))

    assert schemas_of(database_url).keys() == {"public"}


def test_a_ledger_of_the_search_path_goes_before_the_default_one(database_url: str) -> None:
    """A ledger that exists keeps its URL, also when someone makes another one beside it."""
    with Ledger.open(moved_to_public(database_url), APP, create=True) as ledger:
        ledger.start(trip, Trip("Oslo", 1))

    open_backend(f"{database_url}&schema=sagaledger", create=True).close()

    with Ledger.open(database_url, APP) as ledger:
        assert ledger.backend.head().position == 1


def test_the_functions_of_a_ledger_are_its_own(database_url: str) -> None:
    """Whatever schema the caller's connection works in, and that stays as it was."""
    with Ledger.open(f"{database_url}&schema=My%20Shop", APP, create=True) as ledger:
        with psycopg.connect(database_url) as mine:
            ledger.start_in(mine, trip, Trip("Oslo", 1))
            assert mine.execute("SHOW search_path").fetchone() == ('"$user", public',)
        engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://", 1))
        with engine.begin() as connection:
            ledger.start_in(connection, trip, Trip("Rome", 1))
            assert connection.execute(text("SHOW search_path")).scalar() == '"$user", public'
        engine.dispose()

        requests = ledger.backend.start_requests
        assert requests is not None
        assert [request.saga_id for request in requests.listed(limit=10)] == ["trip-Oslo.1", "trip-Rome.1"]


def test_a_role_that_may_not_create_a_schema_is_told_what_helps(database_url: str, postgres_server: str) -> None:
    """Its administrator can, and it then has its ledger there."""
    execute(postgres_server, "DROP ROLE IF EXISTS poor", "CREATE ROLE poor LOGIN")
    url = database_url.replace("postgres:@", "poor:@")

    with pytest.raises(PermanentlyUnavailable, match='CREATE SCHEMA "sagaledger" AUTHORIZATION poor') as raised:
        open_backend(url, create=True)
    execute(database_url, str(raised.value).partition("run ")[2].partition(",")[0])

    live(url)
    execute(database_url, "REVOKE USAGE ON SCHEMA sagaledger FROM poor", "ALTER SCHEMA sagaledger OWNER TO postgres")
    with pytest.raises(PermanentlyUnavailable, match="may not use schema 'sagaledger'"):
        open_backend(url)
    execute(database_url, "DROP OWNED BY poor", "DROP ROLE poor")


def test_behind_a_pooler_the_default_is_the_same(database_url: str, tmp_path: Path) -> None:
    """No client sets a search path there for its whole session."""
    with pgbouncer(database_url, tmp_path) as pooled:
        live(pooled)
        live(f"{pooled}?schema=other")

        assert schemas_of(pooled).keys() == {"other", "sagaledger"}
