"""The pytest plugin, in a pytest of its own: ledgers, workers, a clock that the test moves, and crashes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from sagaledger import (
    App,
    FrozenClock,
    InvalidInput,
    Ledger,
    NotALedger,
    Saga,
    StepContext,
    TimedOut,
    Unavailable,
    WorkerThread,
)

pytest_plugins = ["pytester"]

PLUGIN = "sagaledger.infrastructure.testing.plugin"
APP = """
import asyncio
import pytest
from sagaledger import App, Saga, StepContext

BOOKS = []
stay = Saga("stay", input=int, key=str)

@stay.step(compensable=False)
async def book(number: int, ctx: StepContext) -> str:
    BOOKS.append(ctx.key)
    return f"room {number}"

stay.sleep("night", seconds=86_400)
errand = Saga("errand", input=int, key=str)
errand.step(compensable=False)(book.action)

@pytest.fixture
def saga_app():
    BOOKS.clear()
    return App(sagas=[stay, errand])
"""


@pytest.fixture
def tests(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with an app, for tests of it."""
    pytester.makeconftest(APP)
    return pytester


def run(tests: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run the tests of the folder, with the plugin, wherever it is registered."""
    return tests.runpytest_inprocess("-p", "no:sagaledger", "-p", PLUGIN, "-p", "no:cacheprovider", *options)


def test_the_plugin_is_registered_and_costs_nothing_until_it_is_used() -> None:
    """It imports pytest and the standard library."""
    root = Path(__file__).parents[2]
    registered = tomllib.loads((root / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    program = f"import sys, {PLUGIN}; print(*(set(sys.modules) & {{'msgspec', 'sqlalchemy', 'asyncio', 'psycopg'}}))"

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert registered == {"sagaledger": PLUGIN}
    assert set(loaded.stdout.split()) <= {"asyncio"}  # which pytest may import


def test_a_ledger_a_worker_and_a_clock_work_together(tests: pytest.Pytester) -> None:
    """Each test has a ledger of its own; a day passes when the test says so."""
    tests.makepyfile(
        """
        from sagaledger import Status
        from conftest import BOOKS, stay

        def test_a_night(saga_ledger, saga_worker, frozen_clock):
            began = frozen_clock.now()
            started = saga_ledger.start(stay, 1)
            saga_worker.idle()
            assert saga_ledger.state(started.saga_id).status is Status.WAITING
            assert saga_worker.health().ready
            frozen_clock.advance(hours=25)
            state = saga_worker.outcome(started.saga_id)
            assert state.status is Status.COMPLETED
            assert 24 * 3600 <= (state.steps["night"].forward.wait.due_at - began).total_seconds() < 24 * 3600 + 60
            found = saga_ledger.query("sagas", wait_for=started.position)
            assert [row["started_at"].year for row in found.rows] == [2030]

        def test_nothing_is_left(saga_ledger):
            assert saga_ledger.backend.head().position == 0
            assert saga_ledger.backend.url.startswith("sqlite:///")
            assert saga_ledger.start(stay, 2).created
            assert saga_ledger.history("stay-2")[0].recorded_at.year < 2030
        """
    )

    run(tests).assert_outcomes(passed=2)


def test_the_app_has_to_be_named(pytester: pytest.Pytester) -> None:
    """By a fixture that the tests define."""
    pytester.makepyfile("def test_it(saga_ledger): ...")

    result = run(pytester)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*define a fixture `saga_app` that returns your App*"])


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_database_of_a_server_is_used_where_one_is_given(
    tests: pytest.Pytester, postgres_server: str, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Each test has a schema, which is dropped in the end, also after a failure; a clock that moves needs SQLite."""
    tests.makepyfile(
        """
        from conftest import stay

        def test_in_the_server(saga_ledger):
            assert saga_ledger.backend.url.startswith("postgresql://")
            saga_ledger.start(stay, 1)
            raise KeyError("on purpose")

        def test_with_a_clock(saga_ledger, frozen_clock):
            assert saga_ledger.backend.url.startswith("sqlite:///")
        """
    )
    if by == "variable":
        monkeypatch.setenv("SAGA_LEDGER_URL", postgres_server)

    result = run(tests, *(["--saga-ledger-url", postgres_server] if by == "option" else []))

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*KeyError: 'on purpose'"])
    with psycopg.connect(postgres_server) as connection:
        left = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'saga_test_%'").fetchall()
    assert left == []


def test_another_kind_of_url_is_refused(tests: pytest.Pytester) -> None:
    """With what to write."""
    tests.makepyfile("def test_it(saga_ledger): ...")

    result = run(tests, "--saga-ledger-url", "mysql://x")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*--saga-ledger-url 'mysql://x': use postgresql://*"])


def test_crashes_find_what_a_repeated_step_does(tests: pytest.Pytester) -> None:
    """A service that does it twice, an end that depends on the crash, a check that fails: each names the point."""
    tests.makepyfile(
        """
        import pytest
        from datetime import timedelta
        from conftest import BOOKS, errand, stay

        def place(ledger):
            ledger.start(errand, 1)

        def test_nothing_wrong(crash_at_every_point):
            seen = []

            def see(ledger):
                seen.append(ledger.query("sagas").rows[0]["status"])

            points = crash_at_every_point(place, check=see)
            assert set(seen) == {"completed"}
            assert len(seen) == len(points) + 1
            assert points[0] == "the beginning"
            assert "call book forward" in points and "sqlite COMMIT" in points
            assert len(set(BOOKS)) == 1 and len(BOOKS) > len(points)
            assert len(crash_at_every_point(place, points_max=3)) <= 3

        def test_booked_twice(crash_at_every_point):
            def once(ledger):
                assert len(BOOKS) == 1
                BOOKS.clear()

            with pytest.raises(AssertionError, match=r"after a crash at point [0-9]+ \\(call book forward\\)"):
                crash_at_every_point(place, check=once)

        def test_another_end(crash_at_every_point):
            def place_another(ledger):
                if ledger.backend.head().position:
                    ledger.start(errand, 2)
                place(ledger)

            with pytest.raises(AssertionError, match=r"after a crash at point [0-9]+ .* it ended as .*errand-2"):
                crash_at_every_point(place_another)

        def test_a_night_takes_no_time(crash_at_every_point):
            def slept(ledger):
                [row] = ledger.query("sagas").rows
                assert (row["status"], row["ended_at"] - row["started_at"] >= timedelta(days=1)) == ("completed", True)

            crash_at_every_point(lambda ledger: ledger.start(stay, 1), check=slept, points_max=3)

        def test_the_listener_is_gone(saga_ledger):
            from sagaledger.infrastructure.runtime import failpoints
            assert failpoints.listener is None
            saga_ledger.start(errand, 1)
        """
    )

    run(tests).assert_outcomes(passed=5)


def test_a_clock_goes_on_and_never_back() -> None:
    """By seconds, a timedelta, days or to an instant."""
    clock = FrozenClock(datetime(2031, 1, 1, tzinfo=UTC))
    clock.advance(60.0, minutes=1)
    clock.advance(timedelta(days=1), hours=1)
    later = clock.move_to(datetime(2031, 2, 1, tzinfo=UTC))

    assert timedelta() <= later - datetime(2031, 2, 1, tzinfo=UTC) < timedelta(minutes=1)
    with pytest.raises(InvalidInput, match="cannot go back"):
        clock.advance(-1)


def test_the_end_of_a_worker_is_raised_where_the_test_ends(tmp_path: Path) -> None:
    """What keeps it from working is no green test; what does not happen in time neither."""
    saga = Saga("saga", input=int)
    saga.wait_for("word")

    @saga.step(compensable=False)
    async def go(_: int, __: StepContext) -> None:
        """Go."""

    path = tmp_path / "ledger.db"
    with Ledger.open(f"sqlite:///{path}", App(sagas=[saga]), create=True) as ledger:
        with WorkerThread(ledger) as worker, pytest.raises(TimedOut, match="did not end within"):
            worker.outcome(ledger.start(saga, 1).saga_id, timeout=0.05)

        with pytest.raises(Unavailable, match="the worker is closed"):
            worker.idle()

        with pytest.raises(NotALedger, match="lost a part of its schema"), WorkerThread(ledger) as worker:
            _break(path, worker)


def _break(path: Path, worker: WorkerThread) -> None:
    """Take away what a worker needs, and wait until it has ended; it also says so when it is asked."""
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE due")
    connection.close()
    worker._thread.join()
    with pytest.raises(NotALedger, match="lost a part of its schema"):
        worker.idle()


def test_histories_are_found_beside_the_test_and_replayed(tests: pytest.Pytester) -> None:
    """They are what `save_histories` wrote; a saga that decides otherwise today fails, and so does an empty folder."""
    tests.makepyfile(
        """
        import pytest
        from pathlib import Path
        from sagaledger import Saga, assert_replays, save_histories
        from conftest import errand

        def test_none_yet(saga_histories):
            assert False, "it should not come here"

        def test_written(saga_ledger, saga_worker):
            folder = Path(__file__).with_name("histories")
            folder.mkdir()
            started = saga_ledger.start(errand, 1)
            saga_worker.idle()
            save_histories(folder / "errands.jsonl", saga_ledger, [started.saga_id])

        def test_the_same(saga_histories):
            assert_replays(errand, saga_histories)

        def test_another(saga_histories):
            other = Saga("errand", input=int, key=str)
            other.step(name="renamed", compensable=False)(lambda *_: None)
            with pytest.raises(AssertionError, match="changed"):
                assert_replays(other, saga_histories)
        """
    )

    done = run(tests)

    done.assert_outcomes(passed=3, errors=1)
    done.stdout.fnmatch_lines(["*there is no file *.jsonl in *histories*"])
