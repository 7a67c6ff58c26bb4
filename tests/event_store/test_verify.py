"""`verify` finds edits, and names their positions."""
# ruff: noqa: S608 -- the statements are the test's own

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from sagaledger.infrastructure.event_store.append_call import Append
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.hash_chain import chain
from sagaledger.infrastructure.event_store.instants import microseconds
from sagaledger.infrastructure.event_store.verify import Problem, Verification, verify

from ..edits import edit, edit_openly

if TYPE_CHECKING:
    from .conftest import Pen

EVENTS = 12


def write(log: Backend, pen: Pen) -> Backend:
    """Append four times: positions 1 to 3, 4 to 6, 7 to 9 and 10 to 12, alternating between two streams."""
    for call in range(4):
        versions = range(3 * call + 1, 3 * call + 4)
        log.append(pen.call(Append([pen.event("ab"[v % 2], (v + 1) // 2, b'{"n":%d}' % v) for v in versions])))
    return log


@pytest.fixture
def written(log: Backend, pen: Pen) -> Backend:
    """A log in a database that can be edited."""
    return write(log, pen)


def positions(found: Verification) -> set[int]:
    return {problem.position for problem in found.problems}


def test_a_log_that_was_not_edited_is_proved(backend: Backend, pen: Pen) -> None:
    """Every event is counted, the head can be kept elsewhere and expected, and progress ends at the head."""
    written = write(backend, pen)
    seen: list[tuple[int, int]] = []

    found = verify(written, progress=lambda done, total: seen.append((done, total)))

    head = written.head()
    assert found == Verification(True, EVENTS, EVENTS, head.hash, [])
    assert seen[-1] == (EVENTS, EVENTS)
    assert verify(written, expect=(head.position, head.hash)).ok


def test_an_empty_log_is_proved(backend: Backend) -> None:
    """Its head can be expected too."""
    assert verify(backend) == Verification(True, 0, 0, bytes(32), [])
    assert verify(backend, expect=(0, bytes(32))).ok
    assert not verify(backend, expect=(0, b"\x01" * 32)).ok


@pytest.mark.parametrize(
    ("statement", "position", "says"),
    [
        ("UPDATE events SET version = 99 WHERE position = 12", 12, "digest"),
        ("UPDATE events SET topic = 'Other' WHERE position = 5", 5, "digest"),
        ("UPDATE events SET schema_version = 2 WHERE position = 5", 5, "digest"),
        ("UPDATE events SET stream_id = 'c' WHERE position = 5", 5, "digest"),
        ("UPDATE events SET correlation_id = 'x' WHERE position = 5", 5, "digest"),
        ("UPDATE events SET causation_position = 1 WHERE position = 5", 5, "digest"),
        ("UPDATE events SET meta = '{ }' WHERE position = 5", 5, "digest"),
        ("UPDATE events SET digest = (SELECT digest FROM events WHERE position = 1) WHERE position = 5", 5, "digest"),
        ("UPDATE events SET recorded_at = (SELECT recorded_at FROM events WHERE position = 1) WHERE position = 5", 5,
         "recorded_at"),
        ("DELETE FROM events WHERE position = 5", 5, "missing"),
        ("DELETE FROM events WHERE position = 12", 12, "missing"),
        ("DELETE FROM events WHERE position = 1", 1, "missing"),
        ("DELETE FROM events", 1, "up to position 12 are missing"),
        ("DELETE FROM appends WHERE first_position = 4", 4, "covers 7 to 9"),
        ("DELETE FROM appends WHERE first_position = 10", 10, "no append of the chain covers"),
        ("UPDATE appends SET recorded_at = (SELECT min(recorded_at) FROM appends) WHERE first_position = 7", 7,
         "the chain breaks"),
        ("UPDATE appends SET hash = (SELECT hash FROM appends WHERE first_position = 1) WHERE first_position = 7", 7,
         "the chain breaks"),
        ("UPDATE appends SET first_position = 5 WHERE first_position = 4", 4, "covers 5 to 6"),
        ("UPDATE head SET hash = (SELECT hash FROM appends WHERE first_position = 1)", 13, "head"),
        ("UPDATE head SET position = 11", 12, "head"),
    ],
)  # fmt: skip
def test_an_edit_is_named_by_its_position(url: str, written: Backend, statement: str, position: int, says: str) -> None:
    """An edit of any column of an event, of any row, of any link, and of the head."""
    edit(url, statement)

    found = verify(written)

    assert not found.ok
    assert position in positions(found)
    assert any(says in problem.problem for problem in found.problems), found.problems


def test_one_edited_byte_is_one_problem(url: str, written: Backend) -> None:
    """Only the edited event is named, and none beside or after it."""
    edited = "'{\"n\":6}'" if url.startswith("postgresql") else "CAST('{\"n\":6}' AS BLOB)"
    edit(url, f"UPDATE events SET state = {edited} WHERE position = 5")

    found = verify(written)

    assert found.problems == [Problem(5, "the event's bytes do not match its digest (Happened of 'b')")]


def test_exchanged_events_are_found(url: str, written: Backend) -> None:
    """Two events of one stream in the wrong order, each with a digest that matches."""
    for step in ("99 WHERE position = 4", "4 WHERE position = 6", "6 WHERE position = 99"):
        edit(url, f"UPDATE events SET position = {step}")

    found = verify(written)

    assert 4 in positions(found)
    assert any("the chain breaks at the append of positions 4 to 6" in problem.problem for problem in found.problems)


def test_a_log_cut_off_cleanly_is_found_against_a_head_kept_elsewhere(url: str, written: Backend) -> None:
    """The last append is removed completely: the log is valid in itself, and only the expected head shows it."""
    kept = written.head()
    remaining = "(SELECT {} FROM appends WHERE last_position = 9)"
    edit(url, "DELETE FROM events WHERE position > 9")
    edit(url, "DELETE FROM appends WHERE last_position > 9")
    hash_, recorded_at = remaining.format("hash"), remaining.format("recorded_at")
    edit(url, f"UPDATE head SET position = 9, hash = {hash_}, recorded_at = {recorded_at}")

    assert verify(written).ok
    found = verify(written, expect=(kept.position, kept.hash))

    assert [problem.position for problem in found.problems] == [10]
    assert "its end was cut off" in found.problems[0].problem


def test_a_duplicate_that_was_chained_consistently_is_found(url: str, written: Backend) -> None:
    """An event that stands twice in the log, with its own digest, in a chain that was computed anew to its end."""
    newest = written.read(EVENTS - 1, limit=1)[0]
    last = written.head()
    assert last.recorded_at is not None
    hash_ = chain(last.hash, EVENTS + 1, microseconds(last.recorded_at), [newest.digest]).hex()
    columns = "stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta"
    copy = (
        f"SELECT {EVENTS + 1}, {columns}, head.recorded_at, digest FROM events, head WHERE events.position = {EVENTS}"
    )
    hex_, id_ = f"x'{hash_}'", "x'" + "07" * 16 + "'"
    if url.startswith("sqlite"):
        loosen = [
            f"CREATE TABLE loose (position INTEGER PRIMARY KEY, {columns}, recorded_at, digest)",
            "INSERT INTO loose SELECT * FROM events",
            "DROP TABLE events",
            "ALTER TABLE loose RENAME TO events",
        ]
        edit_openly(url, "PRAGMA legacy_alter_table = ON", *loosen)
    else:
        hex_, id_ = rf"'\x{hash_}'", f"'{UUID(int=7)}'"
        edit(url, "ALTER TABLE events DROP CONSTRAINT events_stream_id_version_key")
    edit(
        url,
        f"INSERT INTO events (position, {columns}, recorded_at, digest) {copy}",
        "INSERT INTO appends (append_id, first_position, last_position, recorded_at, hash) "
        f"SELECT {id_}, {EVENTS + 1}, {EVENTS + 1}, recorded_at, {hex_} FROM head",
        f"UPDATE head SET position = {EVENTS + 1}, hash = {hex_}",
    )

    found = [problem for problem in verify(written).problems if problem.position != 0]

    assert found == [Problem(EVENTS + 1, "version 6 of stream 'a' follows version 6")]


def test_a_rewritten_log_is_found_against_a_head_kept_elsewhere(backend: Backend, pen: Pen) -> None:
    """By another hash at the expected position. A position where no append ends is reported as such."""
    written = write(backend, pen)
    found = verify(written, expect=(9, b"\x00" * 32))
    assert [problem.position for problem in found.problems] == [9]
    assert "as expected" in found.problems[0].problem

    found = verify(written, expect=(8, b"\x00" * 32))
    assert [problem.position for problem in found.problems] == [8]
    assert "no append ends at the expected position" in found.problems[0].problem


@pytest.mark.parametrize(("original", "edited"), [(b'{"n":5}', b'{"n":6}'), (b"Happened", b"H\xffppened")])
def test_one_byte_of_the_file_is_found(tmp_path: Path, pen: Pen, original: bytes, edited: bytes) -> None:
    """Changed with a hex editor, without SQLite; even if the bytes are not UTF-8 any more."""
    file = tmp_path / "ledger.db"
    log = open_backend(f"sqlite:///{file}")
    log.append(pen.call(Append([pen.event("a", version, b'{"n":%d}' % version) for version in range(1, 10)])))
    log.close()
    content = file.read_bytes()
    offset = content.index(original)
    file.write_bytes(content[:offset] + edited + content[offset + len(original) :])

    log = open_backend(f"sqlite:///{file}")
    found = verify(log)

    assert len(found.problems) == 1
    assert 1 <= found.problems[0].position <= 9
    log.close()


def test_problems_are_bounded(url: str, log: Backend, pen: Pen) -> None:
    """A log with an edit in every event has a hundred problems reported."""
    log.append(pen.call(pen.append("a", *range(1, 301))))
    edit(url, "UPDATE events SET topic = 'Other'")

    found: Any = verify(log)

    assert len(found.problems) == 100
    assert found.events == 300
