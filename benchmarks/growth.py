"""Growth: whether costs stay flat as the log grows from its smallest to its largest size."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from uuid import uuid4

import psycopg

from sagaledger import Ledger
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall
from sagaledger.infrastructure.event_store.event_row import StoredRow
from sagaledger.infrastructure.event_store.work_queue import QueueEntry
from sagaledger.projections.projection import Row

from .commands import measure_commands
from .databases import SQLITE
from .findings import Findings
from .history import MARK, copies, errand_history, grow
from .measuring import in_turn, percentile, seconds_of
from .setting import Setting
from .workload import APP, catch_up, four_steps

HISTORY_SAGAS = 50
LOOKS_PER_APPEND = 4
DUE_SAGAS = 2_000
CLAIMED_AT_ONCE = 100
PAGE_ROWS = 50
LEASE_SECONDS = 60.0
_SCHEMA_BYTES = (Path(__file__).with_name("sql") / "schema_bytes_postgres.sql").read_bytes()
LONG_DUE = datetime(2000, 1, 1, tzinfo=UTC)


def growth(setting: Setting) -> Findings:
    """Measure appends, claims and reads at each size of the log; the ratios compare the largest with the smallest.

    For those, another log of the smallest size takes turns with the one that has grown. And what claiming costs while
    very many sagas are due, and how long a person waits for a command.
    """
    found = Findings()
    history = errand_history(HISTORY_SAGAS)
    for backend in setting.backends:
        url, small_url = (setting.databases.fresh(backend) for _ in range(2))
        with Ledger.open(url, APP, create=True) as ledger, Ledger.open(small_url, APP, create=True) as small:
            for events in setting.sizes.growth_events:
                setting.say(f"{backend}: a log of {events:,} events")
                _grow(ledger, url, history, events)
                _measure(ledger, history, setting.sizes.looks, f"at_{events}_events_{backend}", found)
                found.figures[f"bytes_per_saga_at_{events}_events_{backend}"] = _size_bytes(url) / _sagas(
                    ledger, history
                )
            measure_commands(url, backend, setting.sizes.rounds, found)
            _grow(small, small_url, history, setting.sizes.growth_events[0])
            _compare(ledger, small, history, setting, backend, found)
            _measure_backlog(ledger, setting.sizes.waiting_sagas, backend, found)
    return found


def _grow(ledger: Ledger, url: str, history: Sequence[StoredRow], events: int) -> None:
    """Grow a log to this size, and wait until the database has cleaned up after so many rows."""
    grow(ledger.backend, history, events)
    catch_up(ledger)
    if not url.startswith(SQLITE):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")
            with suppress(psycopg.errors.InsufficientPrivilege):
                connection.execute("CHECKPOINT")


def _compare(
    large: Ledger, small: Ledger, history: Sequence[StoredRow], setting: Setting, backend: str, found: Findings
) -> None:
    """Measure whether the largest log is as fast as the smallest, in the same minutes."""
    calls = setting.sizes.looks // LOOKS_PER_APPEND
    flat: dict[str, Callable[[Ledger], float]] = {
        "append_events_per_second": lambda ledger: _appended_per_second(ledger, history, calls),
        "claimed_sagas_per_second": lambda ledger: _claimed_per_second(ledger, DUE_SAGAS),
    }
    for name, measure in flat.items():
        rounds = in_turn({"large": partial(measure, large), "small": partial(measure, small)}, setting.sizes.rounds)
        found.ratios[f"{name}_largest_vs_smallest_{backend}"] = rounds.ratio("large", "small")


def _measure_backlog(ledger: Ledger, waiting_sagas: int, backend: str, found: Findings) -> None:
    """Measure a claim of some sagas while very many are due, beside one while few are due."""
    few, many = (_claimed_per_second(ledger, due_sagas) for due_sagas in (DUE_SAGAS, waiting_sagas))
    found.figures[f"claimed_sagas_per_second_of_{waiting_sagas}_due_{backend}"] = many
    found.ratios[f"claim_of_many_due_vs_few_{backend}"] = many / few


def _measure(ledger: Ledger, history: Sequence[StoredRow], looks: int, at: str, found: Findings) -> None:
    names = [row.stream_id for row in history]
    copies_stored = _sagas(ledger, history) // HISTORY_SAGAS
    drawn = Random(7)  # noqa: S311  # the same sagas in every run

    def some_saga() -> str:
        return drawn.choice(names).replace(MARK, f"@{drawn.randrange(copies_stored)}@")

    def page_after(row: Row) -> None:
        page = ledger.query("sagas", where={"status": "completed"}, order=["-started_at"], limit=PAGE_ROWS, after=row)
        assert page.view == "sagas"

    some = [some_saga() for _ in range(looks)]
    rows = [ledger.query("sagas", where={"saga_id": saga_id}).rows[0] for saga_id in some]
    states_seconds = [seconds_of(partial(ledger.state, saga_id)) for saga_id in some]
    histories_seconds = [seconds_of(partial(ledger.history, saga_id)) for saga_id in some]
    pages_seconds = [seconds_of(partial(page_after, row)) for row in rows]
    found.figures[f"state_{at}_p99_ms"] = percentile(states_seconds, 99) * 1000
    found.figures[f"history_{at}_p99_ms"] = percentile(histories_seconds, 99) * 1000
    found.figures[f"list_page_{at}_p99_ms"] = percentile(pages_seconds, 99) * 1000
    found.figures[f"claimed_sagas_per_second_{at}"] = _claimed_per_second(ledger, DUE_SAGAS)
    found.figures[f"append_events_per_second_{at}"] = _appended_per_second(ledger, history, looks // LOOKS_PER_APPEND)


def _sagas(ledger: Ledger, history: Sequence[StoredRow]) -> int:
    return ledger.backend.head().position // len(history) * HISTORY_SAGAS


def _appended_per_second(ledger: Ledger, history: Sequence[StoredRow], calls_number: int) -> float:
    """Return the median over single calls, which make the log a little longer."""
    following = copies(history, ledger.backend.head().position // len(history))
    calls = [AppendCall(uuid4(), [Append(next(following))]) for _ in range(calls_number)]
    seconds = [seconds_of(partial(ledger.backend.append, call)) for call in calls]
    return len(history) / percentile(seconds, 50)


def _claimed_per_second(ledger: Ledger, due_sagas: int) -> float:
    log, definition = ledger.backend, four_steps.definition
    due = [
        QueueEntry(f"due-{number}", definition.name, definition.version, LONG_DUE, None) for number in range(due_sagas)
    ]
    log.append(AppendCall(uuid4(), [Append((), entry) for entry in due]))
    epoch = log.register(host="benchmark", pid=os.getpid(), lease_seconds=LEASE_SECONDS)
    wanted = [(definition.name, definition.version)]
    seconds = [
        seconds_of(lambda: log.claim(epoch, definitions=wanted, limit=CLAIMED_AT_ONCE))
        for _ in range(DUE_SAGAS // CLAIMED_AT_ONCE)
    ]
    log.retire(epoch)
    log.append(AppendCall(uuid4(), [Append((), entry._replace(due_at=None)) for entry in due]))
    return CLAIMED_AT_ONCE / percentile(seconds, 50)


def _size_bytes(url: str) -> int:
    if url.startswith(SQLITE):
        file = url.removeprefix("sqlite:///")
        return sum(Path(file + end).stat().st_size for end in ("", "-wal") if Path(file + end).exists())
    with psycopg.connect(url) as connection:
        (size_bytes,) = connection.execute(_SCHEMA_BYTES).fetchone() or (0,)
    return int(size_bytes)
