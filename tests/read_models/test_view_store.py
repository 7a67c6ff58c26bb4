"""The view store opens what the ledger lives in and nothing else, and says what it cannot reach."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Thread

import psycopg
import pytest
from sqlalchemy import text

from sagaledger.infrastructure.errors import Unavailable
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.postgres.connection import PostgresConnection
from sagaledger.infrastructure.event_store.postgres.connection import connect as connect_postgres
from sagaledger.infrastructure.event_store.postgres.view_store import PostgresViewStore
from sagaledger.infrastructure.event_store.sqlite.ledger_file import LedgerFile
from sagaledger.infrastructure.event_store.sqlite.view_store import SqliteViewStore
from sagaledger.infrastructure.event_store.view_store import CONNECTIONS_MAX
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.read_models.rebuild import rebuild
from sagaledger.projections.shop import orders

from .conftest import MakeProjector
from .shop import Shop

READ_THE_LOG = """
import sys
from sagaledger.infrastructure.event_store.connect import open_backend

backend = open_backend(sys.argv[1])
backend.head()
backend.close()
print("sqlalchemy" in sys.modules)
"""


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A mistyped name is an error, not an empty ledger."""
    views = SqliteViewStore.of_file(LedgerFile(tmp_path / "absent.db"))

    with pytest.raises(Unavailable, match=r"absent.db cannot be used now: unable to open"), views.reading():
        pass

    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    """The message says where it was looked for, not how to get in."""

    def connect() -> PostgresConnection:
        return connect_postgres("postgresql://ann:secret@127.0.0.1:1/ledger?connect_timeout=2", autocommit=True)

    views = PostgresViewStore(connect, "database 'ledger' at 127.0.0.1")

    with pytest.raises(Unavailable, match=r"database 'ledger' at 127\.0\.0\.1") as caught, views.reading():
        pass

    assert "secret" not in str(caught.value)


def test_who_reads_no_view_does_not_wait_for_sqlalchemy(sqlite_url: str) -> None:
    """The view store is opened when it is first asked for."""
    open_backend(sqlite_url).close()

    done = subprocess.run([sys.executable, "-c", READ_THE_LOG, sqlite_url], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


def test_all_threads_share_one_view_store(log: Backend) -> None:
    """Also those that ask for it first, at the same moment."""
    together = Barrier(8)

    def ask() -> object:
        together.wait()
        return log.views

    with ThreadPoolExecutor(8) as pool:
        found = {id(call.result()) for call in [pool.submit(ask) for _ in range(8)]}

    assert len(found) == 1


def test_a_write_waits_for_the_writer_before_it(log: Backend, sqlite_url: str) -> None:
    """SQLite has one writer at a time; the other asks again until it may."""
    if log.url != sqlite_url:
        pytest.skip("PostgreSQL locks rows, not files")
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE marks (mark TEXT)")
    other.execute("BEGIN IMMEDIATE")

    def write() -> None:
        with log.views.writing() as connection:
            connection.execute(text("INSERT INTO marks VALUES ('second')"))

    thread = Thread(target=write)
    thread.start()
    other.execute("INSERT INTO marks VALUES ('first')")
    other.execute("COMMIT")
    thread.join()

    assert [mark for (mark,) in other.execute("SELECT mark FROM marks ORDER BY rowid")] == ["first", "second"]
    other.close()


def test_many_threads_a_projector_and_a_rebuild_share_its_connections(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """There are more of them than connections: some wait, and none waits for itself."""
    shop.trade(10)
    projector.catch_up()
    projector.start()
    together = Barrier(2 * CONNECTIONS_MAX + 2)

    def ask() -> int:
        together.wait()
        for _ in range(4):
            queries.query("orders")
        return queries.query("orders", wait_for=token, timeout_seconds=60).as_of_position

    def compare() -> int:
        together.wait()
        return drift(queries, log, codec, "orders").count

    def build() -> int:
        together.wait()
        return rebuild(log, codec, orders, batch_events_max=20).generation

    token = shop.trade(10)
    with ThreadPoolExecutor(2 * CONNECTIONS_MAX + 2) as pool:
        generation, differences = pool.submit(build), pool.submit(compare)
        positions = [call.result(90) for call in [pool.submit(ask) for _ in range(2 * CONNECTIONS_MAX)]]

    assert min(positions) >= token
    assert (generation.result(), differences.result()) == (2, 0)


def test_a_projector_whose_connections_are_cut_goes_on_by_itself(
    shop: Shop, projector: Projector, queries: Queries, log: Backend, sqlite_url: str
) -> None:
    """It is supervised: it connects again, and counts each event once; and a query takes a connection that works."""
    if log.url == sqlite_url:
        pytest.skip("a file has no connection to cut")
    projector.start()
    queries.query("orders", wait_for=shop.trade(3), timeout_seconds=20)

    with psycopg.connect(log.url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND application_name = 'sagaledger'"
        )

    answer = queries.query("orders", wait_for=shop.trade(3), timeout_seconds=30)
    assert len(answer.rows) == 6


def test_a_view_whose_table_was_dropped_stops_alone(shop: Shop, log: Backend, make_projector: MakeProjector) -> None:
    """The other views go on; the checkpoint says what is wrong."""
    projector = make_projector()
    shop.trade(2)
    projector.catch_up()
    with log.views.writing() as connection:
        connection.execute(text("DROP TABLE payments"))
    head = shop.trade(2)

    projector.catch_up()

    found = {checkpoint.name: checkpoint for checkpoint in projector.checkpoints()}
    assert found["payments"].status == "stopped"
    assert "its table cannot be used" in (found["payments"].error or "")
    assert {checkpoint.position for name, checkpoint in found.items() if name != "payments"} == {head}


@pytest.fixture
def in_memory() -> Iterator[SqliteViewStore]:
    """A view store in memory, as tests of programs may use it."""
    views = SqliteViewStore(
        lambda: sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False), "memory", connections_max=1
    )
    yield views
    views.close()


def test_who_waits_too_long_for_a_connection_is_told(in_memory: SqliteViewStore) -> None:
    """A connection that is never given back does not hang the others for ever, and they learn why."""
    in_memory._engine.pool._timeout = 0.01  # type: ignore[attr-defined]

    with (
        in_memory.reading(),
        pytest.raises(Unavailable, match="every connection of this process to the views in memory was in use"),
        in_memory.reading(),
    ):
        pass


def test_views_can_live_in_memory(shop: Shop, codec: Codec, log: Backend, in_memory: SqliteViewStore) -> None:
    """One connection is enough to project, to query, to compare and to rebuild."""
    log.views.close()
    log._views = in_memory  # type: ignore[attr-defined]
    head = shop.trade(5)
    projector, queries = Projector(log, codec, [orders]), Queries(log, [orders])

    projector.catch_up()

    assert queries.query("orders").as_of_position == head
    assert rebuild(log, codec, orders).generation == 2
    assert drift(queries, log, codec, "orders").count == 0
