"""Concurrent writers: positions without gaps, and one winner for each version."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import TYPE_CHECKING

import psycopg

from sagaledger.infrastructure.event_store.append_call import Append, Appended
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.event_row import StoredRow
from sagaledger.infrastructure.event_store.verify import verify

if TYPE_CHECKING:
    from .conftest import Pen

WRITERS = 8
CALLS = 25


def roll_back(url: str) -> None:
    """Lock the head in another transaction for a while, and roll back."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=30)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE head SET position = position + 1")
        Event().wait(0.01)
        connection.execute("ROLLBACK")
        connection.close()
    else:
        with psycopg.connect(url) as connection_:
            connection_.execute("UPDATE head SET position = position + 1")
            connection_.execute("SELECT pg_sleep(0.01)")
            connection_.rollback()


def test_a_tailing_reader_skips_nothing(url: str, log: Backend, pen: Pen) -> None:
    """While eight writers append, pause, conflict and roll back, a reader sees the positions 1, 2, 3 and so on."""
    done = Event()
    seen: list[StoredRow] = []

    def tail() -> None:
        reader = open_backend(url)
        while not (done.is_set() and len(seen) == reader.head().position):
            seen.extend(reader.read(len(seen), limit=100))
        reader.close()

    def write(number: int) -> int:
        writer = open_backend(url)
        chance = random.Random(number)  # noqa: S311  # the same pauses in every run
        version = written = 0
        for _ in range(CALLS):
            mine = pen.append(f"s{number}", *range(version + 1, version + 1 + chance.randint(1, 3)))
            outcomes = writer.append(pen.call(mine, pen.append("shared", chance.randint(1, 40)))).outcomes
            version += len(mine.events)
            written += sum(o.last_position - o.first_position + 1 for o in outcomes if isinstance(o, Appended))
            if chance.random() < 0.2:
                roll_back(url)
            Event().wait(chance.random() / 200)
        writer.close()
        return written

    with ThreadPoolExecutor(WRITERS + 1) as threads:
        tailing = threads.submit(tail)
        try:
            written = sum(threads.map(write, range(WRITERS)))
        finally:
            done.set()
        tailing.result(60)

    assert [row.position for row in seen] == list(range(1, written + 1))
    assert log.head().position == written
    assert verify(log).problems == []


def test_each_version_of_a_stream_has_one_winner(url: str, log: Backend, pen: Pen) -> None:
    """Of eight writers that append the same version, each time one succeeds and the others conflict."""
    rounds = 20
    together = Barrier(WRITERS)

    def write(number: int) -> list[bool]:
        writer = open_backend(url)
        won = []
        for version in range(1, rounds + 1):
            together.wait(30)
            hot = Append([pen.event("hot", version, str(number).encode())])
            own, claimed = writer.append(pen.call(pen.append(f"own-{number}", version), hot)).outcomes
            assert isinstance(own, Appended)  # the conflict of another append does not affect it
            won.append(isinstance(claimed, Appended))
        writer.close()
        return won

    with ThreadPoolExecutor(WRITERS) as threads:
        won = list(threads.map(write, range(WRITERS)))

    assert [sum(column) for column in zip(*won, strict=True)] == [1] * rounds
    winners = Counter(int(row.state) for row in log.stream("hot"))
    assert winners == Counter({number: sum(row) for number, row in enumerate(won) if any(row)})


def test_threads_share_one_ledger(backend: Backend, pen: Pen) -> None:
    """One object serves many threads that append and read."""

    def work(number: int) -> int:
        for version in range(1, 11):
            backend.append(pen.call(pen.append(f"s{number}", version)))
            assert len(backend.stream(f"s{number}")) == version
        return 10

    with ThreadPoolExecutor(WRITERS) as threads:
        assert sum(threads.map(work, range(WRITERS))) == backend.head().position


def test_many_may_create_the_same_ledger(url: str) -> None:
    """Eight at the same moment: one creates it, and all open it."""
    together = Barrier(WRITERS)

    def open_it(_: int) -> int:
        together.wait(30)
        opened = open_backend(url, create=True)
        position = opened.head().position
        opened.close()
        return position

    with ThreadPoolExecutor(WRITERS) as threads:
        assert list(threads.map(open_it, range(WRITERS))) == [0] * WRITERS
