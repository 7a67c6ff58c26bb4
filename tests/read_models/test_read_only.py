"""A query writes nothing and creates nothing: what is not there yet is empty, and who may only read can ask."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import inspect, select, text

from sagaledger.infrastructure.errors import TimedOut, Unavailable, WrongState
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.sqlite.store import SqliteStore
from sagaledger.infrastructure.event_store.sqlite.view_store import SqliteViewStore
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.shop.app import APP
from sagaledger.projections.saga import interventions, sagas

from .past import rows_at
from .shop import Shop


def _tables(log: Backend) -> set[str]:
    with log.views.reading() as connection:
        return set(inspect(connection).get_table_names())


def test_asking_creates_nothing(shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries) -> None:
    """Every kind of question is answered from a view that has folded nothing."""
    head = shop.trade(2)
    before = _tables(log)

    answer = queries.query("orders", where={"country": "France"}, order=["-placed_at"])

    assert (answer.rows, answer.as_of_position, answer.lag_events) == ([], 0, head)
    assert queries.checkpoint("orders").status == "absent"
    assert {(c.status, c.position, c.updated_at) for c in queries.checkpoints()} == {("absent", 0, None)}
    assert queries.checkpoints() == projector.checkpoints()
    assert queries.position_at("orders", log.read(0, limit=1)[0].recorded_at) == 0
    assert len(rows_at(queries, log, codec, "orders", head)) == 2
    assert (drift(queries, log, codec, "sagas").rows, drift(queries, log, codec, "sagas").count) == (0, 0)
    assert "order_id" in queries.columns("orders")
    assert _tables(log) == before


def test_statements_over_several_absent_views_find_no_rows(queries: Queries) -> None:
    """A snapshot of an absent view has the tables of all of them."""
    saga, intervention = sagas.table, interventions.table
    parked = select(saga.c.saga_id).join(intervention, saga.c.saga_id == intervention.c.saga_id)

    with queries.snapshot(interventions) as (connection, checkpoint):
        assert connection.execute(parked).all() == []

    assert (checkpoint.position, checkpoint.status) == (0, "absent")


def test_a_query_waits_for_a_view_that_is_not_there_yet(shop: Shop, projector: Projector, queries: Queries) -> None:
    """A projector may be about to create it; if none does, the message says so."""
    token = shop.trade(2)
    with pytest.raises(TimedOut, match="no projector has created it yet"):
        queries.query("orders", wait_for=token, timeout_seconds=0.05)
    later = Timer(0.05, projector.catch_up)
    later.start()

    answer = queries.query("orders", wait_for=token, timeout_seconds=30)

    later.join()
    assert len(answer.rows) == 2


def test_what_is_to_be_written_is_created_when_the_ledger_is(url: str) -> None:
    """`create` makes the tables of the app's views, and opening again makes nothing."""
    with Ledger.open(url, APP, create=True) as ledger:
        assert {checkpoint.status for checkpoint in ledger.context.queries.checkpoints()} == {"live"}
        assert {projection.name for projection in APP.projections} <= _tables(ledger.backend)


def test_a_foreign_table_of_a_views_name_is_not_read(log: Backend, queries: Queries) -> None:
    """What the ledger did not record is no view."""
    with log.views.writing() as connection:
        connection.execute(text("CREATE TABLE orders (colour TEXT)"))
        connection.execute(text("INSERT INTO orders VALUES ('red')"))

    assert queries.query("orders").rows == []


def test_a_view_whose_table_was_dropped_names_the_remedy(
    shop: Shop, log: Backend, projector: Projector, queries: Queries
) -> None:
    """It is on record, so an empty answer would be a lie."""
    shop.trade(1)
    projector.catch_up()
    with log.views.writing() as connection:
        connection.execute(text("DROP TABLE orders"))

    for asking in (queries, Queries(log, [])):
        with pytest.raises(WrongState, match="sagaledger projections rebuild orders"):
            asking.query("orders")


@pytest.fixture
def reader_url(postgres_server: str, empty_schema_url: str) -> Iterator[str]:
    """The URL of the same schema, for a role that may only select from its tables."""
    schema = empty_schema_url.rpartition("%3D")[2]
    role = sql.Identifier(f"reader_of_{schema}")
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(role))
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), role))
        grant = "ALTER DEFAULT PRIVILEGES IN SCHEMA {} GRANT SELECT ON TABLES TO {}"
        connection.execute(sql.SQL(grant).format(sql.Identifier(schema), role))
    yield f"{empty_schema_url}%20-crole%3Dreader_of_{schema}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_a_role_that_may_only_select_can_ask_everything(empty_schema_url: str, reader_url: str, codec: Codec) -> None:
    """Before the views are there, and afterwards; it is told why it cannot fold them."""
    log = open_backend(empty_schema_url, create=True)
    shop = Shop(log)
    shop.open()
    head = shop.trade(3)
    reader = open_backend(reader_url)
    queries, projector = Queries(reader, APP.projections), Projector(reader, codec, APP.projections)
    assert queries.query("orders").rows == []
    with pytest.raises(Unavailable, match="permission denied"):
        projector.catch_up()

    Projector(log, codec, APP.projections).catch_up()

    assert len(queries.query("orders", wait_for=head).rows) == 3
    assert {checkpoint.position for checkpoint in queries.checkpoints()} == {head}
    assert len(Queries(reader, []).query("orders").rows) == 3
    assert [view for view in ("orders", "sagas") if drift(queries, reader, codec, view).count] == []
    assert queries.position_at("orders", reader.read(0, limit=1)[0].recorded_at) == 0
    shop.trade(1)
    with pytest.raises(Unavailable, match="permission denied"):
        projector.catch_up()
    reader.close()
    log.close()


def test_a_file_that_is_opened_read_only_can_be_asked_everything(sqlite_url: str, codec: Codec) -> None:
    """The view store writes nothing when it connects."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    log = SqliteStore(path, url=sqlite_url, create=True)
    shop = Shop(log)
    shop.open()
    head = shop.trade(3)
    Projector(log, codec, APP.projections).catch_up()
    log.views.close()
    log._views = SqliteViewStore(
        lambda: sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False),
        "a read-only file",
    )
    queries = Queries(log, APP.projections)

    assert len(queries.query("orders", wait_for=head).rows) == 3
    assert drift(queries, log, codec, "orders").count == 0
    shop.trade(1)
    with pytest.raises(Unavailable, match="a read-only file cannot be used now: attempt to write a readonly database"):
        Projector(log, codec, APP.projections).catch_up()
    log.close()
