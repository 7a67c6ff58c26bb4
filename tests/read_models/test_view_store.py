"""An engine never makes a database by mistake, and says what it cannot reach, and what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from threading import Thread

import psycopg
import pytest
from sqlalchemy import text

from sagaledger.infrastructure.errors import Unavailable
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.view_store import create_engine_for, reading, writing
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries

from .conftest import MakeProjector
from .shop import Shop


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://localhost/ledger", "no ledger can live in 'mysql'"),
        ("sqlite://", "no ledger can live in 'sqlite': use sqlite:///FILE"),
        ("postgresql://user:secret@[broken", "use postgresql://user@host"),
    ],
)
def test_a_url_of_another_kind_is_refused_with_those_that_work(url: str, says: str) -> None:
    """And a password in it is not repeated."""
    with pytest.raises(Unavailable, match=says) as caught:
        create_engine_for(url)

    assert "secret" not in str(caught.value)


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A mistyped name is an error, not an empty ledger."""
    engine = create_engine_for(f"sqlite:///{tmp_path / 'absent.db'}")

    with pytest.raises(Unavailable, match=r"absent.db cannot be reached now: unable to open"), reading(engine):
        pass

    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    """Where it was looked for, not how to get in."""
    engine = create_engine_for("postgresql://ann:secret@127.0.0.1:1/ledger?connect_timeout=2")

    with pytest.raises(Unavailable, match=r"database 'ledger' at 127\.0\.0\.1") as caught, reading(engine):
        pass

    assert "secret" not in str(caught.value)


def test_a_write_waits_for_the_writer_before_it(log: Backend, sqlite_url: str) -> None:
    """On SQLite one writes at a time; the other asks again until it may."""
    if log.url != sqlite_url:
        pytest.skip("PostgreSQL locks rows, not files")
    engine = create_engine_for(sqlite_url)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE marks (mark TEXT)")
    other.execute("BEGIN IMMEDIATE")

    def write() -> None:
        with writing(engine) as connection:
            connection.execute(text("INSERT INTO marks VALUES ('second')"))

    thread = Thread(target=write)
    thread.start()
    other.execute("INSERT INTO marks VALUES ('first')")
    other.execute("COMMIT")
    thread.join()

    assert [mark for (mark,) in other.execute("SELECT mark FROM marks ORDER BY rowid")] == ["first", "second"]
    other.close()
    engine.dispose()


def test_a_projector_whose_connections_are_cut_goes_on_by_itself(
    shop: Shop, projector: Projector, queries: Queries, log: Backend, sqlite_url: str
) -> None:
    """It is supervised: it connects again, and counts each event once."""
    if log.url == sqlite_url:
        pytest.skip("a file has no connection to cut")
    projector.start()
    queries.query("orders", wait_for=shop.trade(3), timeout_seconds=20)

    with psycopg.connect(log.url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND application_name = 'sagaledger'"
        )

    queries.engine.dispose()
    answer = queries.query("orders", wait_for=shop.trade(3), timeout_seconds=30)
    assert len(answer.rows) == 6


def test_a_view_whose_table_was_dropped_stops_alone(
    shop: Shop, make_projector: MakeProjector, queries: Queries
) -> None:
    """The other views go on; the row says what is wrong."""
    projector = make_projector()
    shop.trade(2)
    projector.catch_up()
    with writing(queries.engine) as connection:
        connection.execute(text("DROP TABLE payments"))
    head = shop.trade(2)

    projector.catch_up()

    stands = {standing.name: standing for standing in projector.standings()}
    assert stands["payments"].status == "stopped"
    assert "its table cannot be used" in (stands["payments"].error or "")
    assert {s.position for s in stands.values() if s.name != "payments"} == {head}
