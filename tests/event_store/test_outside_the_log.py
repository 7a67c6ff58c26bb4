"""A row outside of 1 to the head never counts, is refused, and is named by `verify`; the log refuses changes."""
# ruff: noqa: S608 -- the statements are the test's own

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from sagaledger.infrastructure.errors import DamagedLedger
from sagaledger.infrastructure.event_store.append_call import Append, Appended, Conflict
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.verify import verify

from ..edits import edit, edit_openly

if TYPE_CHECKING:
    from .conftest import Pen

FAR = 10**12
HEAD = 3
STRAYS = [-7, 0, HEAD + 1, FAR]
EARLIER = datetime(2000, 1, 1, tzinfo=UTC)
LATER = datetime(2200, 1, 1, tzinfo=UTC)


@pytest.fixture
def written(log: Backend, pen: Pen) -> Backend:
    return _write(log, pen)


def _write(log: Backend, pen: Pen) -> Backend:
    """Append two events of stream a, and one of its process in stream b: positions 1 to 3."""
    log.append(pen.call(Append([*pen.events("a", 1, 2), pen.event("b", 1, correlation_id="a")])))
    return log


def insert_stray(url: str, position: int, *, stream_id: str = "a", version: int = 3) -> None:
    """Insert a forged event and its link behind the ledger's back, without the CHECKs of PostgreSQL."""
    columns = "topic, schema_version, state, correlation_id, causation_position, meta, recorded_at, digest"
    link = (
        "INSERT INTO appends (last_position, first_position, append_id, recorded_at, hash) "
        f"SELECT {position}, {position}, {_other_id(url)}, recorded_at, hash FROM appends WHERE first_position = 1"
    )
    event = (
        f"INSERT INTO events (position, stream_id, version, {columns}) "
        f"SELECT {position}, '{stream_id}', {version}, {columns} FROM events WHERE position = 3"
    )
    statements = [event, link]
    if url.startswith("postgresql"):
        statements = [
            "ALTER TABLE events DROP CONSTRAINT events_position_check",
            "ALTER TABLE appends DROP CONSTRAINT appends_position_check",
            *statements,
        ]
    edit(url, *statements)


def _other_id(url: str) -> str:
    return "gen_random_uuid()" if url.startswith("postgresql") else "randomblob(16)"


def everything_read(log: Backend) -> list[Any]:
    """What every reading method of the port returns."""
    return [
        log.read(-FAR, limit=100),
        log.read(0, limit=100, upto=2 * FAR),
        log.read(-FAR, limit=100, topics=["Happened"]),
        log.stream("a"),
        log.stream("a", after=-1, upto=FAR),
        sorted(log.streams([("a", 0), ("b", 0), ("c", 0)])),
        [sorted(part) for part in log.payloads([["a"], ["b", "c"]])],
        log.correlated("a"),
        log.correlated("a", after=-FAR),
        log.appends(-FAR, limit=100),
        log.position_at(LATER),
        log.position_at(EARLIER),
        log.digests([("a", 1), ("a", 3), ("a", 9), ("c", 1)]),
        log.misplaced(limit=100),
        log.head(),
    ]


@pytest.mark.parametrize("position", STRAYS)
def test_a_row_outside_of_the_log_is_read_by_nothing(url: str, written: Backend, position: int) -> None:
    """Whether it continues a stream, begins one, leaves a gap in one, or is older than the log."""
    before = everything_read(written)
    insert_stray(url, position)
    long_ago = "0" if url.startswith("sqlite") else "'1970-01-01'"

    assert everything_read(written) == before
    for altered in (
        f"UPDATE events SET stream_id = 'c', version = 1 WHERE position = {position}",
        f"UPDATE events SET stream_id = 'a', version = 9 WHERE position = {position}",
        f"UPDATE appends SET recorded_at = {long_ago} WHERE last_position = {position}",
    ):
        edit(url, altered)
        assert everything_read(written) == before


@pytest.mark.parametrize("position", STRAYS)
def test_a_row_outside_of_the_log_is_named_by_verify(url: str, written: Backend, position: int) -> None:
    """The row of each table."""
    insert_stray(url, position)

    found = verify(written)

    named = [
        problem.problem for problem in found.problems if problem.position == position and "this row" in problem.problem
    ]
    assert not found.ok
    assert sorted(text.split(" is ")[0] for text in named) == ["this row of appends", "this row of events"]


@pytest.mark.parametrize("position", STRAYS)
def test_the_next_append_decides_without_it(url: str, written: Backend, pen: Pen, position: int) -> None:
    """It is written, or it is refused with the reason where the row is in its way; never a conflict with the row."""
    insert_stray(url, position, stream_id="other", version=1)

    if position == HEAD + 1:
        with pytest.raises(DamagedLedger, match="sagaledger verify"):
            written.append(pen.call(pen.append("a", 3)))
        assert written.head().position == HEAD
    else:
        assert written.append(pen.call(pen.append("a", 3))).outcomes == [Appended(4, 4)]


@pytest.mark.parametrize("position", [-7, 0, FAR])
@pytest.mark.parametrize("appends", [1, 2])
def test_a_stray_that_has_the_next_version_is_reported_and_no_conflict(
    url: str, written: Backend, pen: Pen, position: int, appends: int
) -> None:
    """It does not end the stream; its version is taken all the same, so the append says that the ledger is damaged."""
    insert_stray(url, position)
    call = pen.call(pen.append("a", 3), *[pen.append("b", 9)] * (appends - 1))

    with pytest.raises(DamagedLedger, match="sagaledger verify"):
        written.append(call)


@pytest.mark.parametrize("position", STRAYS)
@pytest.mark.parametrize("appends", [1, 2])
def test_what_continues_a_stray_conflicts(url: str, written: Backend, pen: Pen, position: int, appends: int) -> None:
    """The stream has no such event: what was decided after it rests on nothing."""
    insert_stray(url, position)

    receipt = written.append(pen.call(pen.append("a", 4), *[pen.append("b", 9)] * (appends - 1)))

    assert receipt.outcomes == [Conflict("a", 3, 2), Conflict("b", 8, 1)][:appends]
    assert written.head().position == HEAD


@pytest.mark.parametrize("position", [-7, 0])
def test_the_same_call_again_has_its_first_outcome_beside_a_stray(
    url: str, written: Backend, pen: Pen, position: int
) -> None:
    """A stream ended where its events in the log did, also when that is recalled."""
    call = pen.call(pen.append("other", 1), pen.append("a", 9))
    first = written.append(call)
    insert_stray(url, position)

    assert written.append(call) == first


@pytest.mark.parametrize("position", [-7, 0, FAR])
def test_a_stray_link_with_the_id_of_a_call_is_no_proof_that_it_was_written(
    url: str, written: Backend, pen: Pen, position: int
) -> None:
    """The id is taken all the same, so the call is refused."""
    call = pen.call(pen.append("a", 3))
    insert_stray(url, position, stream_id="other", version=1)
    hexadecimal = call.append_id.hex
    id_ = f"x'{hexadecimal}'" if url.startswith("sqlite") else f"'{hexadecimal}'"
    edit(url, f"UPDATE appends SET append_id = {id_} WHERE last_position = {position}")

    with pytest.raises(
        DamagedLedger if url.startswith("sqlite") else ValueError, match=r"append-only|under the append"
    ):
        written.append(call)
    assert written.head().position == HEAD


@pytest.mark.parametrize("position", STRAYS)
@pytest.mark.parametrize("table", ["events", "appends"])
def test_the_database_refuses_a_row_outside_of_the_log(
    url: str, written: Backend, pen: Pen, table: str, position: int
) -> None:
    """Inserted by any client; the ledger goes on as if nothing had been tried."""
    if table == "events":
        statement = (
            "INSERT INTO events SELECT {}, 'a', 3, topic, schema_version, state, correlation_id, causation_position, "
            "meta, recorded_at, digest FROM events WHERE position = 3"
        )
    else:
        statement = (
            "INSERT INTO appends (last_position, first_position, append_id, recorded_at, hash) "
            f"SELECT {{0}}, {{0}}, {_other_id(url)}, recorded_at, hash FROM appends WHERE first_position = 1"
        )

    with pytest.raises(Exception, match=r"append-only|position_check"):
        edit_openly(url, statement.format(position))

    assert written.append(pen.call(pen.append("a", 3))).outcomes == [Appended(4, 4)]
    assert verify(written).ok


def test_an_append_does_not_scan_the_log_for_strays(postgres_url: str, pen: Pen) -> None:
    """However long the log is: the trigger asks the index."""
    log = open_backend(postgres_url, create=True)
    for version in range(1, 2_001, 500):
        log.append(pen.call(*(pen.append("a", each) for each in range(version, version + 500))))
    log.close()

    with psycopg.connect(postgres_url) as server:
        server.execute("UPDATE head SET position = position + 1")
        server.execute(
            "INSERT INTO events SELECT position + 1, stream_id, version + 1, topic, schema_version, state, "
            "correlation_id, causation_position, meta, recorded_at, digest FROM events WHERE position = 2000"
        )
        scans = server.execute(
            "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relid = 'events'::regclass"
        ).fetchall()
        server.rollback()

    assert scans == [(0,)]


def test_a_row_inserted_after_a_savepoint_is_refused(postgres_url: str, pen: Pen) -> None:
    """PostgreSQL gives a savepoint a transaction id of its own, by which the trigger knows what is new."""
    log = open_backend(postgres_url, create=True)
    log.append(pen.call(pen.append("a", 1)))
    insert = (
        "INSERT INTO events SELECT 2, 'a', 2, topic, schema_version, state, correlation_id, causation_position, meta, "
        "recorded_at, digest FROM events"
    )

    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        edit_openly(postgres_url, f"BEGIN; SAVEPOINT here; {insert}; RELEASE here; COMMIT")

    assert log.append(pen.call(pen.append("a", 2))).outcomes == [Appended(2, 2)]
    log.close()


CHANGES = [
    "UPDATE events SET topic = 'Other' WHERE position = 2",
    "UPDATE events SET position = 9 WHERE position = 3",
    "DELETE FROM events WHERE position = 3",
    "DELETE FROM events",
    "UPDATE appends SET append_id = append_id",
    "DELETE FROM appends",
]
CHANGES_ON_SQLITE = [
    "INSERT OR REPLACE INTO events SELECT * FROM events WHERE position = 2",
    "INSERT OR REPLACE INTO appends SELECT * FROM appends",
]
CHANGES_ON_POSTGRES = [
    "TRUNCATE events",
    "TRUNCATE appends",
    "INSERT INTO events SELECT * FROM events ON CONFLICT (position) DO UPDATE SET topic = 'Other'",
    "INSERT INTO appends SELECT * FROM appends ON CONFLICT (last_position) DO UPDATE SET first_position = 2",
]


def _is_refused(url: str, log: Backend, statement: str) -> None:
    with pytest.raises(Exception, match="append-only"):
        edit_openly(url, statement)
    assert verify(log).ok


@pytest.mark.parametrize("statement", CHANGES)
def test_the_database_refuses_to_change_the_log(url: str, written: Backend, statement: str) -> None:
    """Rows are inserted by appends, and nothing else happens to them."""
    _is_refused(url, written, statement)


@pytest.mark.parametrize("statement", CHANGES_ON_SQLITE)
def test_sqlite_refuses_to_replace_rows_of_the_log(sqlite_url: str, pen: Pen, statement: str) -> None:
    """SQLite calls no trigger for the rows that REPLACE deletes."""
    with closing(_write(open_backend(sqlite_url, create=True), pen)) as log:
        _is_refused(sqlite_url, log, statement)


@pytest.mark.parametrize("statement", CHANGES_ON_POSTGRES)
def test_postgresql_refuses_what_only_it_can_do_to_the_log(postgres_url: str, pen: Pen, statement: str) -> None:
    """Emptying a table in one statement, and inserts that turn into updates."""
    with closing(_write(open_backend(postgres_url, create=True), pen)) as log:
        _is_refused(postgres_url, log, statement)


def test_a_link_that_ends_before_it_begins_is_refused(url: str, written: Backend) -> None:
    """It would cover no event."""
    with pytest.raises(Exception, match=r"append-only|position_check"):
        edit_openly(
            url,
            "INSERT INTO appends (last_position, first_position, append_id, recorded_at, hash) "
            f"SELECT 1, 2, {_other_id(url)}, recorded_at, hash FROM appends",
        )

    assert verify(written).ok


LINKS = {
    "another hash": "4, 4, randomblob(16), randomblob(32)",
    "that begins after its end": "4, 5, randomblob(16), (SELECT hash FROM head)",
    "that begins before the log": "4, 0, randomblob(16), (SELECT hash FROM head)",
    "the id of another one": "4, 4, append_id, (SELECT hash FROM head)",
}


@pytest.mark.parametrize("link", LINKS)
def test_behind_a_moved_head_only_its_own_link_is_taken(sqlite_url: str, pen: Pen, link: str) -> None:
    """Whoever moves the head of a file cannot replace a link of the chain, or append one that is not the head's."""
    log = open_backend(sqlite_url)
    log.append(pen.call(pen.append("a", 1, 2, 3)))
    columns = "last_position, first_position, append_id, hash, recorded_at"

    with pytest.raises(Exception, match="a link is inserted at its end only"):
        edit_openly(
            sqlite_url,
            "BEGIN",
            "UPDATE head SET position = 4",
            f"INSERT OR REPLACE INTO appends ({columns}) SELECT {LINKS[link]}, recorded_at FROM appends",
        )

    assert verify(log).ok
    log.close()


def test_the_link_of_the_head_is_not_replaced(sqlite_url: str, pen: Pen) -> None:
    """Not even by one with the same hash."""
    log = open_backend(sqlite_url)
    log.append(pen.call(pen.append("a", 1, 2, 3)))
    columns = "last_position, first_position, append_id, hash, recorded_at"

    with pytest.raises(Exception, match="a link is inserted at its end only"):
        edit_openly(
            sqlite_url,
            f"INSERT OR REPLACE INTO appends ({columns}) SELECT 3, 1, randomblob(16), hash, recorded_at FROM appends",
        )

    assert verify(log).ok
    log.close()


def dropped(url: str, name: str) -> str:
    """Drop a trigger."""
    return f"DROP TRIGGER {name}" + ("" if url.startswith("sqlite") else f" ON {name.partition('_')[0]}")


TRIGGERS = {
    "sqlite": [
        "events_are_not_updated",
        "events_are_not_deleted",
        "appends_are_not_updated",
        "appends_are_not_deleted",
        "events_continue",
        "appends_continue",
    ],
    "postgresql": ["events_are_not_changed", "appends_are_not_changed", "events_continue", "appends_continue"],
}


def test_verify_names_a_dropped_trigger(url: str, written: Backend) -> None:
    """Each of them; `init` on an older ledger, or the migration's text, brings it back."""
    names = TRIGGERS[url.partition(":")[0]]
    for name in names:
        edit_openly(url, dropped(url, name))

    problems = [problem.problem for problem in verify(written).problems]

    assert problems == [
        f"the trigger or function {name}, which protects the log, is missing or disabled" for name in sorted(names)
    ]


def test_verify_names_an_altered_trigger(url: str, written: Backend) -> None:
    """One of the same name that does nothing, one that is disabled, and a function that does something else."""
    if url.startswith("sqlite"):
        edit_openly(
            url,
            "DROP TRIGGER events_are_not_updated",
            "CREATE TRIGGER events_are_not_updated BEFORE UPDATE ON events BEGIN SELECT 1; END",
        )
        expected = ["the trigger or function events_are_not_updated, which protects the log, was altered"]
    else:
        edit_openly(
            url,
            "ALTER TABLE events DISABLE TRIGGER events_are_not_changed",
            "CREATE OR REPLACE FUNCTION refuse_log_change() RETURNS trigger LANGUAGE plpgsql "
            "AS 'BEGIN RETURN NULL; END'",
        )
        expected = [
            "the trigger or function events_are_not_changed, which protects the log, is missing or disabled",
            "the trigger or function refuse_log_change, which protects the log, was altered",
        ]

    assert [problem.problem for problem in verify(written).problems] == expected


def test_verify_names_every_dropped_key_and_check(postgres_url: str) -> None:
    """Those that PostgreSQL's catalogue has for the tables of the log and its working tables."""
    open_backend(postgres_url, create=True).close()
    with psycopg.connect(postgres_url, autocommit=True) as server:
        constraints = server.execute(
            "SELECT conrelid::regclass::text, conname::text FROM pg_constraint WHERE contype IN ('p', 'u', 'c') "
            "AND connamespace = current_schema()::regnamespace AND conrelid <> 'sagaledger_schema'::regclass"
        ).fetchall()
    assert ("events", "events_stream_id_version_key") in constraints
    edit_openly(postgres_url, *(f"ALTER TABLE {table} DROP CONSTRAINT {name}" for table, name in constraints))

    log = open_backend(postgres_url)

    problems = [problem.problem for problem in verify(log).problems]
    log.close()
    assert problems == [f"{name} is missing from the schema" for name in sorted(name for _, name in constraints)]


def test_an_append_is_never_recorded_before_the_one_in_front_of_it(url: str, written: Backend, pen: Pen) -> None:
    """When the clock went back since, the time stays where it was until the clock is there again."""
    ahead = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    stored = f"{int(ahead.timestamp()) * 1_000_000}" if url.startswith("sqlite") else f"'{ahead.isoformat()}'"
    edit(url, f"UPDATE head SET recorded_at = {stored}")

    receipt = written.append(pen.call(pen.append("a", 3)))

    assert receipt.recorded_at == ahead
    assert written.head().recorded_at == ahead
    assert [row.recorded_at for row in written.read(HEAD, limit=1)] == [ahead]


def test_a_missing_head_is_named(url: str, written: Backend, pen: Pen) -> None:
    """By `verify` as a problem, by reading and by appending as an error that says what is wrong."""
    edit(url, "DELETE FROM head")

    found = verify(written)

    assert [problem.position for problem in found.problems] == [0]
    assert "table head is missing" in found.problems[0].problem
    with pytest.raises(DamagedLedger):
        written.head()
    with pytest.raises(DamagedLedger):
        written.append(pen.call(pen.append("a", 3)))
