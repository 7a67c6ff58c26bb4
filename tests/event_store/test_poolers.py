"""A ledger behind PgBouncer, which gives each transaction one of the sessions that all its clients share."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from sagaledger.infrastructure.errors import PermanentlyUnavailable
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.verify import verify
from sagaledger.infrastructure.ledger.ledger import Ledger

from ..guarantees.test_database_matrix import RELIED_ON, SETTINGS, live
from ..ledger.trip import APP, Trip, trip
from ..poolers import SESSIONS, pgbouncer

CLIENTS = 4
STARTS = 10
SHOWN = [name for name in RELIED_ON if name != "client_encoding"] + ["search_path"]


def role_of(url: str) -> str:
    return url.partition("//")[2].partition("@")[0]


def set_for_role(server: str, role: str, name: str, value: str) -> None:
    statement = sql.SQL("ALTER ROLE {} SET {} = {}")
    values = sql.SQL(", ").join(map(sql.Literal, value.split(", ")))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement.format(sql.Identifier(role), sql.Identifier(name), values))


def test_more_clients_than_sessions_start_sagas(pooled_url: str) -> None:
    """No client finds a prepared statement of another one, or misses its own."""
    failures: list[BaseException] = []

    def start(client: int) -> None:
        try:
            with Ledger.open(pooled_url, APP) as ledger:
                for number in range(STARTS):
                    saga_id = ledger.start(trip, Trip(f"{client}-{number}", 1)).saga_id
                    ledger.state(saga_id)
        except BaseException as error:  # noqa: BLE001  # reported below
            failures.append(error)

    Ledger.open(pooled_url, APP, create=True).close()
    threads = [Thread(target=start, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert CLIENTS > SESSIONS
    assert failures == []
    with Ledger.open(pooled_url, APP) as ledger:
        assert len({row.stream_id for row in ledger.backend.read(0, limit=1000)}) == CLIENTS * STARTS
        assert verify(ledger.backend).problems == []


@pytest.mark.parametrize(("name", "value"), [setting for setting in SETTINGS if setting[0] != "search_path"])
def test_a_setting_of_the_role_changes_nothing(postgres_server: str, pooled_url: str, name: str, value: str) -> None:
    """Workers, views, queries and verification do without settings of the session."""
    set_for_role(postgres_server, role_of(pooled_url), name, value)

    live(pooled_url)


def test_other_programs_keep_the_settings_of_their_sessions(pooled_url: str) -> None:
    """What a transaction sets ends with it."""

    def shown() -> list[set[str]]:
        values: list[set[str]] = [set() for _ in SHOWN]
        connections = [psycopg.connect(pooled_url.partition("?")[0]) for _ in range(SESSIONS)]
        for connection in connections:  # each holds a session until its transaction ends
            for index, name in enumerate(SHOWN):
                value = connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
                values[index].add(str(value))
        for connection in connections:
            connection.close()
        return values

    before = shown()
    live(pooled_url)

    assert shown() == before


def test_a_search_path_that_another_program_left_does_not_lead_elsewhere(pooled_url: str, postgres_server: str) -> None:
    """The ledger is in the schema of its role, whatever is set in the session that it comes upon."""
    role = role_of(pooled_url)
    connections = [psycopg.connect(pooled_url.partition("?")[0]) for _ in range(SESSIONS)]
    for connection in connections:
        connection.execute("SET search_path = public")
    for connection in connections:
        connection.commit()
        connection.close()

    open_backend(pooled_url, create=True).close()

    with psycopg.connect(postgres_server) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = %s", [role]).fetchone()
    assert found is not None
    assert found[0] > 0


def test_a_search_path_in_the_url_is_refused_with_the_remedy(pooled_url: str) -> None:
    """PgBouncer does not take it to the server."""
    url = f"{pooled_url.partition('?')[0]}?options={quote('-csearch_path=elsewhere')}"

    with pytest.raises(PermanentlyUnavailable, match=r"\?schema=NAME"):
        open_backend(url, create=True)


def test_a_search_path_in_the_url_that_the_pooler_ignores_is_refused(
    pooled_url: str, postgres_server: str, tmp_path: Path
) -> None:
    """The ledger would be made in the schema of the role."""
    with pgbouncer(postgres_server, tmp_path, more="ignore_startup_parameters = options") as server:
        url = f"{server.replace('postgres@', f'{role_of(pooled_url)}@')}?options={quote('-csearch_path=elsewhere')}"
        with pytest.raises(PermanentlyUnavailable, match=r"\?schema=NAME"):
            open_backend(url, create=True)


def test_a_role_may_have_the_search_path_of_its_ledger(pooled_url: str, postgres_server: str) -> None:
    """A ledger of an earlier version, which could be named in no other way behind a pooler, is found as it is."""
    open_backend(pooled_url, create=True).close()
    set_for_role(postgres_server, role_of(pooled_url), "search_path", role_of(pooled_url))

    live(pooled_url.partition("?")[0])


def test_a_pooler_without_transactions_is_refused_with_the_remedy(postgres_server: str, tmp_path: Path) -> None:
    """An append and the fold of a view are transactions."""
    with (
        pgbouncer(postgres_server, tmp_path, pool_mode="statement") as url,
        pytest.raises(PermanentlyUnavailable, match="pool_mode = transaction"),
    ):
        open_backend(url)
