"""A ledger whose `sagas` view was made by sagaledger 0.1.0 works again after a rebuild."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import inspect

from sagaledger.infrastructure.errors import WrongState
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.read_models.rebuild import rebuild
from sagaledger.infrastructure.shop.app import APP
from sagaledger.projections.saga import SAGA_PROJECTIONS, sagas

from .shop import Shop

SAGAS_OF_0_1_0 = """
DROP TABLE sagas;
CREATE TABLE sagas (
    saga_id TEXT NOT NULL, definition TEXT NOT NULL, version INTEGER NOT NULL, style TEXT NOT NULL,
    status TEXT NOT NULL, correlation_id TEXT NOT NULL, started_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    ended_at TEXT, current_step TEXT, failed_step TEXT, error TEXT, events BIGINT NOT NULL, deadline TEXT,
    begins_at TEXT, stalls_at TEXT, findings INTEGER NOT NULL, silence_seconds FLOAT, begun BOOLEAN NOT NULL,
    running TEXT NOT NULL, waiting TEXT NOT NULL, retrying TEXT NOT NULL, given_up TEXT NOT NULL,
    compensations TEXT NOT NULL, parked TEXT NOT NULL, told_to_turn BOOLEAN NOT NULL, past_pivot BOOLEAN NOT NULL,
    PRIMARY KEY (saga_id)
);
CREATE INDEX sagas_correlation_id_g1 ON sagas (correlation_id);
CREATE INDEX sagas_definition_g1 ON sagas (definition, started_at);
CREATE INDEX sagas_definition_status_g1 ON sagas (definition, status, started_at);
CREATE INDEX sagas_stalls_at_g1 ON sagas (started_at, stalls_at) WHERE stalls_at IS NOT NULL;
CREATE INDEX sagas_started_at_g1 ON sagas (started_at) WHERE events > 0;
CREATE INDEX sagas_status_g1 ON sagas (status, started_at);
INSERT INTO sagas VALUES (
    'fulfil_order-536001', 'fulfil_order', 1, 'orchestrated', 'running', 'fulfil_order-536001',
    '2010-12-01 08:27:00.000000+00:00', '2010-12-01 08:27:00.000000+00:00', NULL, 'reserve_inventory', NULL, NULL, 2,
    NULL, NULL, NULL, 0, NULL, 1, '["reserve_inventory"]', '[]', '[]', '[]', '[]', '[]', 0, 0
);
UPDATE projections SET version = 4 WHERE name = 'sagas';
"""
"""Turns a view of today into the table, the indexes and the checkpoint that version 4 of the projection left."""


def test_a_view_of_version_4_is_refused_until_a_rebuild_replaces_its_table(tmp_path: Path) -> None:
    """The rebuilt view has the new table, the rows that its events make, and follows the log."""
    path = tmp_path / "ledger.db"
    log, codec = open_backend(f"sqlite:///{path}", create=True), Codec(APP.registry)
    shop = Shop(log)
    shop.open()
    head = shop.trade(20)
    projector, queries = Projector(log, codec, SAGA_PROJECTIONS), Queries(log, SAGA_PROJECTIONS)
    projector.catch_up()
    expected = queries.query("sagas", limit=100).rows
    projector.stop()
    with sqlite3.connect(path) as database:
        database.executescript(SAGAS_OF_0_1_0)
    database.close()

    older = queries.checkpoint("sagas")
    with pytest.raises(WrongState, match=f"version 4 .* version {sagas.version} is declared"):
        queries.query("sagas")
    rebuilt = rebuild(log, codec, sagas)

    assert (older.status, older.version, older.generation) == ("live", 4, 1)
    assert (rebuilt.status, rebuilt.version, rebuilt.generation, rebuilt.position) == ("live", sagas.version, 2, head)
    assert queries.query("sagas", limit=100).rows == expected
    with log.views.reading() as connection:
        columns = [column["name"] for column in inspect(connection).get_columns("sagas")]
    assert tuple(columns) == sagas.columns
    shop.trade(5)
    projector = Projector(log, codec, SAGA_PROJECTIONS)
    projector.catch_up()
    assert len(queries.query("sagas", limit=100).rows) == 25
    assert drift(queries, log, codec, "sagas").count == 0
    projector.stop()
    log.close()
