"""A store of the library's own recorders is taken over into a ledger: every event once, in order, as it was."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from eventsourcing.persistence import StoredEvent
from eventsourcing.popo import POPOApplicationRecorder

from sagaledger.domain.errors import InvalidInput
from sagaledger.domain.recorded_event import Meta
from sagaledger.infrastructure.errors import Unavailable
from sagaledger.infrastructure.event_store.append_call import AppendCall, Receipt
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.verify import verify
from sagaledger.infrastructure.eventsourcing import store_import as store_module
from sagaledger.infrastructure.eventsourcing.recorders import LedgerApplicationRecorder
from sagaledger.infrastructure.eventsourcing.source import EventSource
from sagaledger.infrastructure.eventsourcing.store_import import (
    ImportConflict,
    StoreImport,
    compare_store,
    import_store,
)
from sagaledger.infrastructure.runtime import failpoints

from .stores import Dog, environment_of, file_url, kennel, many_events, recorder

PAGE = Path(__file__).parents[2] / "docs" / "eventsourcing.md"
FACTORY = "sagaledger.infrastructure.eventsourcing.factory"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database for the library's own recorders, once for each kind."""
    return empty_store(request, request.param, tmp_path)


@pytest.fixture
def store_of_this_kind(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> str:
    """The URL of an empty database of the same kind as the ledger's."""
    return empty_store(request, url.partition(":")[0], tmp_path)


def empty_store(request: pytest.FixtureRequest, kind: str, folder: Path) -> str:
    """Return the URL of an empty database of this kind."""
    if kind == "sqlite":
        return file_url(folder)
    server: str = request.getfixturevalue("postgres_server")
    schema = f"kennel_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(psycopg.sql.Identifier(schema)))
    return f"{server}&options=-csearch_path%3D{schema}"


@pytest.fixture
def ledger(sqlite_url: str) -> Iterator[Backend]:
    """An empty ledger."""
    with closing(open_backend(sqlite_url, create=True)) as opened:
        yield opened


def taken_over(url: str, log: Backend, table: str | None = None) -> StoreImport:
    """Import a store."""
    with closing(EventSource(url, table)) as source:
        return import_store(source, log, name="kennel", actor="ann")


def write(url: str, events: list[StoredEvent]) -> None:
    """Let the library's own recorder write events, as one application after the other would."""
    with recorder(environment_of(url)) as library:
        for begin in range(0, len(events), 200):
            library.insert_events(events[begin : begin + 200])


def test_an_application_goes_on_in_the_ledger(store_url: str, url: str) -> None:
    """After the import its aggregates are what they were, and it writes on; a second import adds nothing."""
    with kennel(environment_of(store_url)) as before:
        dogs = [Dog(f"dog {number}") for number in range(3)]
        for trick in range(3):
            for dog in dogs:
                dog.add_trick(f"trick {trick}")
                before.save(dog)
        expected = {dog.id: before.repository.get(dog.id) for dog in dogs}
        old_log = before.notification_log.select(1, 10)

    with closing(open_backend(url, create=True)) as log:
        done = taken_over(store_url, log)

        assert (done.imported, done.after.events, done.after.aggregates, done.after.missing) == (12, 12, 3, 0)
        assert verify(log).problems == []
        metas = [msgspec.json.decode(row.meta, type=Meta) for row in log.read(0, limit=20)]
        imported = [meta.imported for meta in metas if meta.imported is not None]
        assert [each.notification_id for each in imported] == list(range(1, 13))
        assert [each.timestamp for each in imported[:1]] == [dogs[0].created_on.isoformat()]
        assert {(each.source, meta.actor) for each, meta in zip(imported, metas, strict=True)} == {("kennel", "ann")}
        assert taken_over(store_url, log).imported == 0
        assert found_by_page(url, notification_id=7) == [(7, str(dogs[0].id), 3)]

    with kennel({"PERSISTENCE_MODULE": FACTORY, "SAGALEDGER_DB": url, "IS_SNAPSHOTTING_ENABLED": "y"}) as after:
        assert {id_: vars(after.repository.get(id_)) for id_ in expected} == {
            id_: vars(dog) for id_, dog in expected.items()
        }
        assert [
            (each.id, UUID(str(each.originator_id)), each.state) for each in after.notification_log.select(1, 10)
        ] == [(each.id, each.originator_id, each.state) for each in old_log]
        dog = after.repository.get(dogs[0].id)
        dog.add_trick("one more")
        after.save(dog)

    with closing(open_backend(url)) as log:
        assert taken_over(store_url, log).after.missing == 0  # the ledger may be ahead of the source


def found_by_page(url: str, *, notification_id: int) -> list[tuple[object, ...]]:
    """Look for an old number with the SQL of the page."""
    sqlite, postgres = re.findall(r"```sql\n(.*?);", PAGE.read_text(), re.DOTALL)
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            return file.execute(sqlite.replace("42", str(notification_id))).fetchall()
    with psycopg.connect(url) as server:
        return server.execute(postgres.replace("42", str(notification_id))).fetchall()


@pytest.mark.parametrize("crossing", [2, 3, 6])
def test_an_import_that_is_killed_goes_on(
    store_of_this_kind: str, url: str, crossing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, after and between its commits: no event twice, none missing, and the order of the source."""
    monkeypatch.setattr(store_module, "PAGE_EVENTS", 100)
    store_url = store_of_this_kind
    events = many_events(dogs=30, tricks=9)
    write(store_url, events)
    open_backend(url, create=True).close()

    status = _import_killed_at(crossing, store_url, url)

    assert os.WIFSIGNALED(status), status
    assert os.WTERMSIG(status) == signal.SIGKILL
    with closing(open_backend(url)) as log:
        done = taken_over(store_url, log)

        there = done.before.already_there
        assert there == 100 * (crossing // 2) if url.startswith("sqlite") else there in (0, 100, 200)
        assert (there + done.imported, done.after.missing) == (300, 0)
        expected = POPOApplicationRecorder()
        expected.insert_events(events)
        assert [
            (each.id, str(each.originator_id), each.originator_version, each.topic, each.state)
            for each in LedgerApplicationRecorder(log).select_notifications(1, 400)
        ] == [
            (each.id, str(each.originator_id), each.originator_version, each.topic, each.state)
            for each in expected.select_notifications(1, 2000)
        ]


def _import_killed_at(crossing: int, store_url: str, url: str) -> int:
    """Import in a process that kills itself at so many crossings of an append.

    On SQLite an odd one is before its commit. On PostgreSQL it is before its reply, with the commit in doubt.
    """
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    try:
        with closing(open_backend(url)) as log, closing(EventSource(store_url)) as source:
            crossings = count(1)
            append = "sqlite COMMIT" if url.startswith("sqlite") else "postgres fetch_many"

            def listen(name: str, _after: bool) -> None:
                if name == append and next(crossings) == crossing:
                    os.kill(os.getpid(), signal.SIGKILL)

            failpoints.set_listener(listen)
            import_store(source, log, name="kennel", actor="ann")
    finally:
        os._exit(1)


def test_a_store_that_is_written_to_meanwhile_is_complete_up_to_where_it_was_read(
    store_url: str, ledger: Backend
) -> None:
    """What comes during the import is taken over with it, and what comes after it by the next one."""
    events = many_events(dogs=4, tricks=3)
    write(store_url, events[:8])
    with closing(EventSource(store_url)) as source:
        waiting = iter([events[8:12], events[12:]])

        def go_on(_done: int, _total: int) -> None:
            for more in waiting:
                write(store_url, more)
                break

        assert import_store(source, ledger, name="kennel", actor="ann", report=go_on).imported == 16
        assert compare_store(source, ledger).missing == 0


class Overtaken:
    """A ledger to which another import writes just before this one's first append."""

    def __init__(self, log: Backend, other: Callable[[], object]) -> None:
        self._log = log
        self._others = iter([other])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, call: AppendCall) -> Receipt:
        """Append after the other import."""
        for other in self._others:
            other()
        return self._log.append(call)


def test_two_imports_at_once_take_over_each_event_once(store_of_this_kind: str, url: str) -> None:
    """The one that comes second finds what the other wrote, and goes on."""
    write(store_of_this_kind, many_events(dogs=3, tricks=2))
    with closing(open_backend(url, create=True)) as log, closing(open_backend(url)) as other:
        overtaken: Any = Overtaken(log, lambda: taken_over(store_of_this_kind, other))
        done = taken_over(store_of_this_kind, overtaken)

        assert (done.before.already_there, done.imported, done.after.missing) == (0, 0, 0)
        assert log.head().position == 9


def test_a_row_that_no_recorder_writes_is_refused(tmp_path: Path, ledger: Backend) -> None:
    """A state that is text, or absent: the place is named, and nothing is written."""
    url = file_url(tmp_path)
    write(url, many_events(dogs=1, tricks=1))
    for state in ("'{}'", "NULL"):
        with closing(sqlite3.connect(tmp_path / "kennel.db")) as store, store:
            store.execute(f"UPDATE stored_events SET state = {state} WHERE rowid = 2")  # noqa: S608  # the values above
        with pytest.raises(InvalidInput, match="version 2, notification 2: its state is of type"):
            taken_over(url, ledger)
    assert ledger.head().position == 0


def test_what_a_live_store_got_in_front_of_other_events_is_found(ledger: Backend, tmp_path: Path) -> None:
    """A transaction with a lower number may become visible later: its events are missing, and are taken over."""
    url = file_url(tmp_path)
    events = many_events(dogs=3, tricks=0)
    write(url, events)
    with closing(sqlite3.connect(tmp_path / "kennel.db")) as late, late:
        row = late.execute("DELETE FROM stored_events WHERE rowid = 2 RETURNING *").fetchone()
    assert taken_over(url, ledger).imported == 2
    with closing(sqlite3.connect(tmp_path / "kennel.db")) as late, late:
        late.execute("INSERT INTO stored_events (rowid, originator_id, originator_version, topic, state) "
                     "VALUES (2, ?, ?, ?, ?)", row)  # fmt: skip

    done = taken_over(url, ledger)

    assert (done.before.already_there, done.imported, done.after.missing) == (2, 1, 0)


@pytest.mark.parametrize("what", ["state", "topic"])
def test_a_contradiction_is_refused_with_its_place(store_url: str, ledger: Backend, what: str) -> None:
    """Another event under the same version: nothing is written, not even what does not contradict."""
    events = many_events(dogs=2, tricks=1)
    write(store_url, events)
    other = StoredEvent(
        events[1].originator_id, 1, "x:Y" if what == "topic" else events[1].topic,
        b"{}" if what == "state" else events[1].state,
    )  # fmt: skip
    LedgerApplicationRecorder(ledger).insert_events([other])

    with pytest.raises(
        ImportConflict, match=rf"'{other.originator_id}' version 1, notification 2: .* position 1"
    ) as refused:
        taken_over(store_url, ledger)

    assert what in str(refused.value)
    assert ledger.head().position == 1


@pytest.mark.parametrize(("gone", "says"), [(0, "it is the first one"), (2, "the one before it is 1")])
def test_a_source_with_a_gap_is_refused(tmp_path: Path, ledger: Backend, gone: int, says: str) -> None:
    """An aggregate whose versions are not complete could not be rebuilt: the place is named, nothing is written."""
    url = file_url(tmp_path)
    events = many_events(dogs=2, tricks=3)
    write(url, events)
    with closing(sqlite3.connect(tmp_path / "kennel.db")) as store, store:
        id_ = events[0].originator_id
        assert isinstance(id_, UUID)
        low, high = (1, 2) if gone == 0 else (2, 2)
        store.execute(
            "DELETE FROM stored_events WHERE originator_id = ? AND originator_version BETWEEN ? AND ?",
            (id_.hex, low, high),
        )

    with pytest.raises(ImportConflict, match=f"version 3, notification [0-9]+ does not follow: {says}"):
        taken_over(url, ledger)
    assert ledger.head().position == 0


def test_compressed_and_encrypted_events_are_taken_over_as_bytes(store_url: str, sqlite_url: str) -> None:
    """Nothing is decoded; their times stay where only the application's key reads them."""
    from eventsourcing.cipher import AESCipher  # noqa: PLC0415  # it needs a package of the tests alone

    secret = {
        "COMPRESSOR_TOPIC": "zlib",
        "CIPHER_TOPIC": "eventsourcing.cipher:AESCipher",
        "CIPHER_KEY": AESCipher.create_key(16),
    }
    with kennel(environment_of(store_url, **secret)) as before:
        dog = Dog("Fido")
        dog.add_trick("roll over")
        before.save(dog)

    with closing(open_backend(sqlite_url, create=True)) as log:
        taken_over(store_url, log)
        (first, _) = log.read(0, limit=5)
        imported = msgspec.json.decode(first.meta, type=Meta).imported
        assert imported is not None
        assert (imported.notification_id, imported.timestamp) == (1, None)
        assert b"Fido" not in first.state

    with kennel({"PERSISTENCE_MODULE": FACTORY, "SAGALEDGER_DB": sqlite_url, **secret}) as after:
        assert after.repository.get(dog.id).tricks == ["roll over"]


def test_a_table_is_found_or_named(store_url: str, ledger: Backend) -> None:
    """One table needs no name; of several each is imported by itself; snapshots are none."""
    events = many_events(dogs=2, tricks=0)
    write(store_url, events[:1])
    with closing(EventSource(store_url)) as source:
        table = source.table_name
    environment = environment_of(store_url)
    with recorder(environment) as library:
        other = type(library)(library.datastore, events_table_name="other_events")  # type: ignore[attr-defined,call-arg]
        other.create_table()
        other.insert_events(events[1:])

    with pytest.raises(InvalidInput, match=r"several tables of events, .*other_events.* with --table"):
        EventSource(store_url)
    with pytest.raises(InvalidInput, match=r"no table 'none' with the columns .* with --table"):
        EventSource(store_url, "none")
    assert taken_over(store_url, ledger, table).imported == 1
    assert taken_over(store_url, ledger, "other_events").imported == 1


def test_a_schema_is_named_as_that_of_a_ledger_is(empty_schema_url: str, ledger: Backend) -> None:
    """By the URL or before the table's name."""
    write(empty_schema_url, many_events(dogs=1, tricks=0))
    server, _, schema = empty_schema_url.partition("&options=-csearch_path%3D")

    assert taken_over(f"{server}&schema={schema}", ledger).imported == 1
    assert taken_over(server, ledger, f"{schema}.kennel_events").after.already_there == 1


def test_a_table_of_aggregates_has_no_notifications(tmp_path: Path, ledger: Backend) -> None:
    """What an aggregate recorder alone wrote is taken over by aggregate and version."""
    from eventsourcing.sqlite import SQLiteAggregateRecorder, SQLiteDatastore  # noqa: PLC0415  # this test's alone

    datastore = SQLiteDatastore(str(tmp_path / "kennel.db"))
    aggregates = SQLiteAggregateRecorder(datastore)
    aggregates.create_table()
    events = many_events(dogs=3, tricks=2)
    aggregates.insert_events(events)
    datastore.close()

    assert taken_over(file_url(tmp_path), ledger).imported == 9
    assert [row.version for row in ledger.read(0, limit=9)] == [1, 2, 3] * 3
    assert taken_over(file_url(tmp_path), ledger).imported == 0


def test_text_ids_stay_as_they_are(tmp_path: Path, ledger: Backend) -> None:
    """A file whose ids are no UUIDs has texts; one that an id may not be is refused with its place."""
    url = file_url(tmp_path)
    environment = environment_of(url, ORIGINATOR_ID_TYPE="text")
    with recorder(environment) as library:
        library.insert_events([StoredEvent("dog-1", 1, "x:Y", b"{}"), StoredEvent(uuid4().hex, 1, "x:Y", b"{}")])

    assert taken_over(url, ledger).imported == 2
    assert ledger.read(0, limit=1)[0].stream_id == "dog-1"
    with recorder(environment) as library:
        library.insert_events([StoredEvent("x" * 2000, 1, "x:Y", b"{}")])
    with pytest.raises(InvalidInput, match=r"the aggregate 'xxx.* has 2,000 bytes"):
        taken_over(url, ledger)


def test_a_source_that_cannot_be_read_is_one_clear_error(tmp_path: Path, empty_schema_url: str) -> None:
    """An absent file is not created, a file that is no database and an empty schema are named."""
    with pytest.raises(Unavailable, match="there is no file"):
        EventSource(f"sqlite:///{tmp_path / 'none.db'}")
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "text.db").write_text("no database, but a text that is long enough to be one, if it were one" * 20)
    with pytest.raises(Unavailable, match="cannot be read"):
        EventSource(f"sqlite:///{tmp_path / 'text.db'}")
    with pytest.raises(InvalidInput, match="no table with the columns"):
        EventSource(empty_schema_url)
    with psycopg.connect(empty_schema_url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()").fetchone() == (
            0,
        )
