"""A process that forks keeps its connections and its lock; the child opens its own, or is told that it cannot."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import pytest

from sagaledger.domain.errors import SagaledgerError
from sagaledger.infrastructure.errors import Unavailable, WorkerRunning
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.postgres.store import PostgresStore
from sagaledger.infrastructure.event_store.sqlite import quiescence
from sagaledger.infrastructure.event_store.sqlite.store import SqliteStore
from sagaledger.infrastructure.ledger.ledger import Ledger

from ..ledger.trip import APP, Trip, trip

PATIENCE_SECONDS = 20.0


class Child:
    """A forked process that calls a function; `answer` waits for what that returned or raised."""

    def __init__(self, function: Callable[[], Any]) -> None:
        with tempfile.NamedTemporaryFile(delete=False) as file:
            self._file = Path(file.name)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                answer: Any = function()
            except BaseException as error:  # noqa: BLE001 -- the parent reads it
                answer = error
            self._file.write_text(json.dumps(answer if not isinstance(answer, BaseException) else repr(answer)))
            os._exit(0)

    def answer(self) -> Any:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while os.waitpid(self._pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
                raise AssertionError("the child hangs")
            time.sleep(0.01)
        return json.loads(self._file.read_text())


def wait_for(file: Path) -> None:
    """Wait until another process has made a file."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} never appeared"
        time.sleep(0.01)


def use(ledger: Ledger, name: str) -> list[str]:
    """Start sagas, read them and query a view; returns what went wrong."""
    wrong = []
    for number in range(20):
        try:
            saga_id = ledger.start(trip, Trip(f"{name}{number}", 1)).saga_id
            state = ledger.state(saga_id)
            if state.saga_id != saga_id:
                wrong.append(f"{saga_id}: {state.saga_id}")
            ledger.query("sagas")
        except SagaledgerError as error:
            wrong.append(repr(error))
    return wrong


def test_parent_and_children_get_their_own_answers(url: str) -> None:
    """All of them use a ledger, its log and its views, that was opened and used before the fork."""
    with Ledger.open(url, APP, create=True) as ledger:
        assert use(ledger, "before") == []

        children = [Child(lambda name=name: use(ledger, name)) for name in ("a", "b", "c")]  # type: ignore[misc]

        assert use(ledger, "parent") == []
        assert [child.answer() for child in children] == [[], [], []]
        assert ledger.backend.head().position >= 100


def test_a_fork_between_the_calls_of_other_threads_is_safe(url: str) -> None:
    """The child works, or says why it does not; and it never hangs."""
    with Ledger.open(url, APP, create=True) as ledger:
        ending = Event()

        def keep_busy() -> None:
            while not ending.is_set():
                use(ledger, "busy")

        threads = [Thread(target=keep_busy) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            answers = [Child(lambda: use(ledger, "child")).answer() for _ in range(4)]
        finally:
            ending.set()
            for thread in threads:
                thread.join()

    assert all(answer == [] or "was forked while another thread" in answer[0] for answer in answers)


def test_a_child_of_a_process_inside_sqlite_is_told(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It inherits locks that nobody will release, so it must not try, and neither must its own children."""
    monkeypatch.setattr(quiescence, "_FORK_WAIT_SECONDS", 2 * PATIENCE_SECONDS)  # no use to wait for oneself
    backend = open_backend(sqlite_url)

    with backend.views.reading():
        answer = Child(lambda: backend.head()).answer()
        answer_of_grandchild = Child(lambda: Child(lambda: backend.head()).answer()).answer()

    assert "was forked while another thread" in answer
    assert "was forked while another thread" in answer_of_grandchild
    assert backend.head().position == 0
    backend.close()


def test_a_fork_waits_for_a_use_of_sqlite_that_ends_soon(sqlite_url: str) -> None:
    """Then the child can use the ledger."""
    backend = open_backend(sqlite_url)
    inside, leave = Event(), Event()

    def read() -> None:
        with backend.views.reading():
            inside.set()
            leave.wait(PATIENCE_SECONDS)

    thread = Thread(target=read)
    thread.start()
    inside.wait(PATIENCE_SECONDS)
    Timer(0.1, leave.set).start()
    answer = Child(lambda: backend.head().position).answer()
    thread.join()

    assert answer == 0
    backend.close()


def test_a_child_has_locks_of_its_own_in_memory(url: str) -> None:
    """Those of the parent may be held by threads that the child does not have."""
    backend = open_backend(url, create=True)
    held = [backend._file._writing] if isinstance(backend, SqliteStore) else [backend._appending]  # type: ignore[attr-defined]
    for lock in (*held, backend._opening_views):  # type: ignore[attr-defined]
        with lock:
            assert Child(lambda: use(Ledger(backend, APP), "child")).answer() == []
    backend.close()


def test_a_transaction_stays_the_parents(postgres_url: str) -> None:
    """A child that was forked within it neither ends it nor uses its connection."""
    store = PostgresStore(postgres_url, create=True)

    def leave(stack: ExitStack) -> int:
        with pytest.raises(Unavailable, match="belongs to the parent"):
            stack.close()
        return store.head().position

    with suppress(LookupError), ExitStack() as stack:
        connection = stack.enter_context(store._database.transaction())
        connection.execute("INSERT INTO definitions VALUES ('trip', 1, 'f')")
        assert Child(lambda: leave(stack)).answer() == 0
        assert connection.execute("SELECT count(*) FROM definitions").fetchone() == (1,)
        raise LookupError  # the parent rolls back

    assert store.fingerprints() == {}
    store.close()


def test_a_child_neither_holds_nor_releases_the_workers_lock(sqlite_url: str) -> None:
    """A child that outlives the worker does not keep others out, and its end lets nobody in."""
    first, second = open_backend(sqlite_url), open_backend(sqlite_url)
    first.register(host="h", pid=1, lease_seconds=60)
    outliving = os.fork()
    if outliving == 0:
        time.sleep(PATIENCE_SECONDS)
        os._exit(0)
    try:
        assert Child(first.close).answer() is None
        with pytest.raises(WorkerRunning, match=f"process {os.getpid()} on"):
            second.register(host="h", pid=2, lease_seconds=60)

        first.close()

        second.register(host="h", pid=2, lease_seconds=60)
    finally:
        os.kill(outliving, signal.SIGKILL)
        os.waitpid(outliving, 0)
        second.close()


def _read_log(backend: Backend) -> None:
    backend.head()


def _write_log(backend: Backend) -> None:
    backend.record_fingerprint("late", 1, "f")


def _read_views(backend: Backend) -> None:
    with backend.views.reading() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM definitions")


def _write_views(backend: Backend) -> None:
    with backend.views.writing() as connection:
        connection.exec_driver_sql("INSERT INTO definitions VALUES ('late', 1, 'f')")


@pytest.mark.parametrize(("read", "write"), [(_read_log, _write_log), (_read_views, _write_views)])
def test_a_child_has_its_own_locks_on_the_file(
    sqlite_url: str, read: Callable[[Backend], None], write: Callable[[Backend], None]
) -> None:
    """The parent may end and clean up behind it: what the child writes afterwards is not lost."""
    backend: Backend = open_backend(sqlite_url)
    read(backend)
    has_read, may_go_on = (Path(sqlite_url.removeprefix("sqlite:///") + suffix) for suffix in (".read", ".go"))

    def write_late() -> int:
        read(backend)
        has_read.touch()
        wait_for(may_go_on)
        write(backend)
        return os.getpid()

    child = Child(write_late)
    wait_for(has_read)
    backend.close()
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    with suppress(sqlite3.OperationalError):
        other.execute("SELECT count(*) FROM definitions").fetchall()
    other.close()  # the last one to close deletes the write-ahead log, unless another process has it open
    may_go_on.touch()
    child.answer()

    again = open_backend(sqlite_url)
    assert ("late", 1) in again.fingerprints()
    again.close()
