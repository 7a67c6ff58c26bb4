"""The limits that a ledger's speed is held against: its events appended without the kernel, and plainly inserted.

They take the events that a worker left in a log and write the same bytes again, a thousand in each transaction; for the
latency of a lone saga, in the calls in which the worker appended them.
`python -m benchmarks.limits URL SAMPLE NUMBER OF` appends its share of those in another log, beside other processes.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import psycopg

from sagaledger.infrastructure.event_store.append_call import Append, AppendCall, Appended
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.event_log import EventLog
from sagaledger.infrastructure.event_store.event_row import NewEvent, StoredRow
from sagaledger.infrastructure.event_store.instants import microseconds
from sagaledger.infrastructure.runtime.gc_tuning import tune_gc

from .databases import SQLITE
from .measuring import seconds_of, stopwatch
from .together import seconds_together, tell_all, wait_for_all

EVENTS_PER_TRANSACTION = 1_000
_READ_EVENTS = 10_000
_SQL = Path(__file__).with_name("sql")

T = TypeVar("T")


def recorded(log: EventLog) -> list[StoredRow]:
    """Return every event of a log."""
    rows: list[StoredRow] = []
    while batch := log.read(rows[-1].position if rows else 0, limit=_READ_EVENTS):
        rows += batch
    return rows


def append_again(url: str, rows: Sequence[StoredRow]) -> float:
    """Append events to an empty ledger, each transition as one append. Returns how many a second."""
    calls = _calls(rows)
    with closing(open_backend(url, create=True)) as backend, stopwatch() as watch:
        _append_all(backend, calls)
    return len(rows) / watch.seconds


def append_together(url: str, sample: str, processes: int, *, each_on_a_core: bool) -> float:
    """Do the same in several processes, each with the events of its share of the sagas in the log `sample`."""
    with closing(open_backend(sample)) as log:
        events = log.head().position
    open_backend(url, create=True).close()
    shares = [(url, sample, str(number), str(processes)) for number in range(processes)]
    return events / seconds_together("benchmarks.limits", shares, each_on_a_core=each_on_a_core)


def append_one_by_one(url: str, sample: str) -> list[float]:
    """Append the events of the log `sample` to an empty ledger, call by call. Returns the seconds of each call."""
    with closing(open_backend(sample)) as log:
        rows = recorded(log)
        links = log.appends(0, limit=len(rows))
    parts = [rows[link.first_position - 1 : link.last_position] for link in links]
    calls = [AppendCall(uuid4(), _appends(part)) for part in parts]
    with closing(open_backend(url, create=True)) as backend:
        return [seconds_of(partial(_append_all, backend, [call])) for call in calls]


def insert_again(url: str, rows: Sequence[StoredRow]) -> float:
    """Insert events into a plain table of the same shape as the ledger's. Returns how many a second."""
    open_backend(url, create=True).close()
    return _insert_sqlite(url, rows) if url.startswith(SQLITE) else _insert_postgres(url, rows)


def _insert_postgres(url: str, rows: Sequence[StoredRow]) -> float:
    statement = (_SQL / "plain_postgres_insert.sql").read_bytes()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute((_SQL / "plain_postgres.sql").read_bytes())
        with stopwatch() as watch:
            for chunk in _chunks(rows):
                columns = [list(column) for column in zip(*chunk, strict=True)]
                connection.execute(statement, columns, prepare=True)
    return len(rows) / watch.seconds


def _insert_sqlite(url: str, rows: Sequence[StoredRow]) -> float:
    stored = [(*row[:9], microseconds(row.recorded_at), row.digest) for row in rows]
    statement = (_SQL / "plain_sqlite_insert.sql").read_text()
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript((_SQL / "plain_sqlite.sql").read_text())
        with stopwatch() as watch:
            for chunk in _chunks(stored):
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(statement, chunk)
                connection.execute("COMMIT")
    finally:
        connection.close()
    return len(rows) / watch.seconds


def _appends(rows: Sequence[StoredRow]) -> list[Append]:
    """Return one append for each run of events of one process, as its transitions were."""
    runs = groupby(rows, key=lambda row: row.correlation_id or row.stream_id)
    return [Append([NewEvent(*row[1:9], row.digest) for row in run]) for _, run in runs]


def _append_share(url: str, sample: str, number: int, of: int) -> None:
    with closing(open_backend(sample)) as log:
        rows = recorded(log)
    correlations = dict.fromkeys(row.correlation_id or row.stream_id for row in rows)
    mine = {correlation for place, correlation in enumerate(correlations) if place % of == number}
    calls = _calls([row for row in rows if (row.correlation_id or row.stream_id) in mine])
    with closing(open_backend(url)) as backend:
        wait_for_all()
        _append_all(backend, calls)
        tell_all()


def _calls(rows: Sequence[StoredRow]) -> list[AppendCall]:
    return [AppendCall(uuid4(), _appends(chunk)) for chunk in _chunks(rows)]


def _append_all(log: EventLog, calls: Iterable[AppendCall]) -> None:
    for call in calls:
        outcomes = log.append(call).outcomes
        assert all(isinstance(outcome, Appended) for outcome in outcomes)


def _chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    return (rows[begin : begin + EVENTS_PER_TRANSACTION] for begin in range(0, len(rows), EVENTS_PER_TRANSACTION))


if __name__ == "__main__":
    tune_gc()  # as in the process that appends alone
    _append_share(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
