"""A stream of thousands of events: an append reads where it ends, and not the whole of it."""

from __future__ import annotations

from time import monotonic, sleep

import psycopg
import pytest

from sagaledger.infrastructure.event_store.connect import open_backend

from .conftest import Pen

EVENTS = 3_000
APPENDS = 20
SECONDS_MAX = 20.0

_READ = """
SELECT idx_scan, idx_tup_read FROM pg_stat_user_indexes
WHERE schemaname = current_schema() AND indexrelname = 'events_stream_id_version_key'
"""


def test_an_append_on_postgresql_reads_the_end_of_its_stream_alone(postgres_url: str, pen: Pen) -> None:
    """Also in a session that made its plans while the ledger was empty, and that no ANALYZE told otherwise."""
    log = open_backend(postgres_url, create=True)
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute("ALTER TABLE events SET (autovacuum_enabled = off)")
        log.append(pen.call(pen.append("saga-1", *range(1, EVENTS + 1))))
        for number in range(APPENDS):
            log.append(pen.call(pen.append("saga-1", EVENTS + 1 + number)))
        log.close()  # its session tells now what it read

        scans, read = _told(server)

    assert scans > APPENDS
    assert read < 3 * APPENDS


def _told(server: psycopg.Connection[tuple[int, int]]) -> tuple[int, int]:
    deadline = monotonic() + SECONDS_MAX
    while True:
        (told,) = server.execute(_READ).fetchall()
        if told[0] > APPENDS:
            return told
        if monotonic() > deadline:
            pytest.fail(f"the server tells of {told[0]} reads only")
        sleep(0.02)
