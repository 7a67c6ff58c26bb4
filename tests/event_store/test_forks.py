"""A process that forks keeps its connections and its lock; the child opens its own, or is told that it cannot."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from sagaledger.domain.errors import SagaledgerError
from sagaledger.infrastructure.errors import WorkerRunning
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend
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


def test_a_child_of_a_process_inside_sqlite_is_told(sqlite_url: str) -> None:
    """It inherits locks that nobody will release, so it must not try."""
    backend = open_backend(sqlite_url)

    with backend.views.reading():
        answer = Child(lambda: backend.head()).answer()

    assert "was forked while another thread" in answer
    assert backend.head().position == 0
    backend.close()


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


def test_a_child_has_its_own_locks_on_the_file(sqlite_url: str) -> None:
    """The parent may end and clean up behind it: what the child writes afterwards is not lost."""
    backend: Backend = open_backend(sqlite_url)
    backend.head()
    may_go_on = Path(sqlite_url.removeprefix("sqlite:///") + ".go")

    def write_late() -> int:
        backend.head()
        while not may_go_on.exists():
            time.sleep(0.01)
        backend.record_fingerprint("late", 1, "f")
        return os.getpid()

    child = Child(write_late)
    time.sleep(0.3)
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
