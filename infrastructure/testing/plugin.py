"""The pytest plugin: ledgers, workers, a clock and crashes as fixtures. It is registered as `sagaledger`.

Until a test asks for one of them it imports nothing but pytest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..ledger.app import App
    from ..ledger.ledger import Ledger
    from .crash_points import CrashTest
    from .frozen_clock import FrozenClock
    from .replays import RecordedSaga
    from .worker_thread import WorkerThread

URL_VARIABLE = "SAGA_LEDGER_URL"
LEDGER_FILE = "saga-ledger.db"
HISTORIES_FOLDER = "histories"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the ledgers of tests are."""
    parser.getgroup("sagaledger").addoption(
        "--saga-ledger-url",
        metavar="URL",
        help=f"the PostgreSQL database in which `saga_ledger` has a schema for each test (or {URL_VARIABLE}; without "
        "either it is a SQLite file)",
    )


@pytest.fixture
def saga_app() -> App:
    """The app of a test's ledger. Define a fixture of this name that returns yours."""
    pytest.fail("define a fixture `saga_app` that returns your App: the fixtures of sagaledger use it", pytrace=False)


@pytest.fixture
def saga_ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database: a SQLite file, or a schema of its own in the given PostgreSQL database.

    With `frozen_clock` it is always a file, because the clock of a server cannot be moved.
    """
    url = request.config.getoption("--saga-ledger-url") or os.environ.get(URL_VARIABLE)
    if not url or "frozen_clock" in request.fixturenames:
        yield f"sqlite:///{tmp_path / LEDGER_FILE}"
        return
    if not url.startswith(("postgresql://", "postgres://")):
        pytest.fail(f"--saga-ledger-url {url!r}: use postgresql://…, or leave it out for SQLite", pytrace=False)
    from ..event_store.postgres.scratch_schema import scratch_schema

    with scratch_schema(url) as of_the_test:
        yield of_the_test


@pytest.fixture
def saga_ledger(request: pytest.FixtureRequest, saga_app: App, saga_ledger_url: str) -> Iterator[Ledger]:
    """A `Ledger` with the app of `saga_app`, empty and with its views; it goes by `frozen_clock` if the test has it."""
    from ..ledger.ledger import Ledger

    has_clock = "frozen_clock" in request.fixturenames
    clock: FrozenClock | None = request.getfixturevalue("frozen_clock") if has_clock else None
    with Ledger.open(saga_ledger_url, saga_app, create=True) as ledger:
        if clock is not None:
            ledger.context.clock = clock.clock
        yield ledger


@pytest.fixture
def saga_worker(saga_ledger: Ledger) -> Iterator[WorkerThread]:
    """A worker that drives the sagas of `saga_ledger` and keeps its views up, on a thread of its own."""
    from .worker_thread import WorkerThread

    with WorkerThread(saga_ledger) as worker:
        yield worker


@pytest.fixture
def frozen_clock() -> Iterator[FrozenClock]:
    """The clock of `saga_ledger` and `saga_worker`, which the test moves: timers, deadlines and retries come due."""
    from ..event_store.sqlite.clock import set_clock
    from .frozen_clock import FrozenClock

    clock = FrozenClock()
    set_clock(clock.nanoseconds)
    yield clock
    set_clock(None)


@pytest.fixture
def crash_at_every_point(saga_app: App, tmp_path: Path) -> CrashTest:
    """Plays a scenario with the app of `saga_app`, and crashes at each point of it (see `CrashTest`)."""
    from .crash_points import CrashTest

    return CrashTest(saga_app, tmp_path / "crashes")


@pytest.fixture
def saga_histories(request: pytest.FixtureRequest) -> list[RecordedSaga]:
    """What was recorded of sagas, for `assert_replays`: the files `histories/*.jsonl` beside the test's own file."""
    from .replays import load_histories

    folder = request.path.parent / HISTORIES_FOLDER
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        pytest.fail(
            f"there is no file *.jsonl in {folder}: `sagaledger history SAGA --json >> FILE` writes one", pytrace=False
        )
    return [history for file in files for history in load_histories(file)]
