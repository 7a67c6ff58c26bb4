"""Reading part by part from PostgreSQL, while the caller works on the part before."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.postgres.database import PostgresDatabase

from .conftest import Pen

PARTS = [["a"], ["b"], ["c"]]
END_OTHER_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture
def log(postgres_url: str, pen: Pen) -> Iterator[Backend]:
    log = open_backend(postgres_url, create=True)
    log.append(pen.call(*(pen.append(stream_id, 1, 2) for [stream_id] in PARTS)))
    yield log
    log.close()


def test_a_reader_that_stops_early_does_not_disturb_the_next(log: Backend) -> None:
    """A reply that it has not received is not taken for that of another statement."""
    for _ in range(20):  # more often than there are connections
        reading = log.payloads(PARTS)
        assert [stream_id for stream_id, *_ in next(reading)] == ["a", "a"]
        reading.close()  # type: ignore[attr-defined]  # a generator, which leaving a loop closes

    assert [[stream_id for stream_id, *_ in part] for part in log.payloads(PARTS)] == [["a"] * 2, ["b"] * 2, ["c"] * 2]
    assert [row.stream_id for row in log.stream("b")] == ["b", "b"]


def test_a_reader_that_gets_every_part_gives_its_connection_back(
    postgres_url: str, log: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that does not ask whether there are more parts."""
    opened: list[object] = []
    connect = PostgresDatabase.connect
    monkeypatch.setattr(PostgresDatabase, "connect", lambda database: opened.append(database) or connect(database))
    log = open_backend(postgres_url)
    before = len(opened)
    for _ in range(3):
        reading = log.payloads(PARTS)
        assert [len(next(reading)) for _ in PARTS] == [2, 2, 2]
    log.close()

    assert len(opened) == before + 1


def test_a_connection_that_dies_meanwhile_loses_no_part(log: Backend, postgres_url: str) -> None:
    """The part that it was reading is read again, and yielded once."""
    read = []
    with psycopg.connect(postgres_url, autocommit=True) as other:
        for part in log.payloads(PARTS):
            read.append([stream_id for stream_id, *_ in part])
            other.execute(END_OTHER_SESSIONS)

    assert read == [["a"] * 2, ["b"] * 2, ["c"] * 2]
