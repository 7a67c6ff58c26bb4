"""G16: every column of every table altered, a row inserted, a row deleted: `verify` names it, or the docs leave it out.

The walk takes its tables and columns from the database's own catalogue, so that a new one has to take a side: it is
verified, or `docs/storage.md` says that it is outside of the proof.
"""
# ruff: noqa: S608 -- the statements are the walk's own

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import JSON, Boolean, Column, Integer, MetaData, Table, Text

from sagaledger import (
    App,
    Command,
    Event,
    Ledger,
    Participant,
    Projection,
    RecordedEvent,
    Retry,
    Saga,
    StepContext,
    Worker,
    event,
)
from sagaledger.infrastructure.event_store.append_call import AppendCall, CheckpointUpdate
from sagaledger.infrastructure.ledger import stream_cache
from sagaledger.infrastructure.ledger.verification import verify_ledger
from sagaledger.projections.column_types import UtcDateTime

from ..edits import edit

PATIENCE_SECONDS = 30.0
STORAGE = Path(__file__).parents[2] / "docs" / "storage.md"
UNSEEN = "<!-- outside of the proof -->"


@event("CoinDropped")
class CoinDropped(Event):
    """Coins were dropped into a jar."""

    jar: str
    coins: int


class DropCoins(Command, frozen=True):
    """Drop one coin after the other into a jar."""

    jar: str
    coins: int


def _decide(_state: int, command: DropCoins, at: datetime) -> list[Event]:
    return [CoinDropped(at, command.jar, 1) for _ in range(command.coins)]


jars = Participant(
    "jar",
    initial=0,
    state_type=int,
    events=[CoinDropped],
    commands={DropCoins: lambda command: command.jar},
    decide=_decide,
    evolve=lambda state, dropped: state + dropped.coins,
)
saving = Saga("saving", input=int)
patient = Saga("patient", input=int)
parked = Saga("parked", input=int)


@saving.local_step(compensable=False)
def drop(value: int, _ctx: StepContext) -> list[Command]:
    return [DropCoins("a", value)]


patient.sleep("rest", seconds=36_000)


@parked.step(pivot=True, retry=Retry(attempts=1))
def fail_at_the_pivot(_value: int, _ctx: StepContext) -> None:
    raise OSError("no answer")


contents = Projection(
    "contents",
    version=1,
    table=Table(
        "contents",
        MetaData(),
        Column("jar", Text, primary_key=True),
        Column("coins", Integer, nullable=False),
        Column("is_full", Boolean, nullable=False),
        Column("touched_at", UtcDateTime, nullable=False),
    ),
)


@contents.on(CoinDropped, key=lambda recorded: recorded.event.jar)
def dropped_in(row: dict[str, Any] | None, dropped: CoinDropped, recorded: RecordedEvent) -> dict[str, Any]:
    coins = (row["coins"] if row else 0) + dropped.coins
    return {
        "jar": dropped.jar,
        "coins": coins,
        "is_full": coins > 100,
        "touched_at": recorded.event.at,
    }


worths = Projection(
    "worths",
    version=1,
    table=Table("worths", MetaData(), Column("jar", Text, primary_key=True), Column("worths", JSON)),
)


@worths.on(CoinDropped, key=lambda recorded: recorded.event.jar)
def worth_of(_row: dict[str, Any] | None, dropped: CoinDropped, _recorded: RecordedEvent) -> dict[str, Any]:
    return {"jar": dropped.jar, "worths": {"latest": dropped.coins}}


def app_of(url: str) -> App:
    """Return the app of the walk; a view has a column of JSON where the backend stores one."""
    views = [contents, worths] if url.startswith("sqlite") else [contents]
    return App(sagas=[saving, patient, parked], participants=[jars], projections=views)


class Written(NamedTuple):
    """A small ledger that has rows in every table."""

    url: str
    ledger: Ledger

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    def fetch(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, as text."""
        if self.is_sqlite:
            connection = sqlite3.connect(self.url.removeprefix("sqlite:///"))
            try:
                return connection.execute(statement).fetchall()
            finally:
                connection.close()
        with psycopg.connect(self.url, autocommit=True) as server:
            return server.execute(statement.encode()).fetchall()

    def problems(self) -> list[str]:
        """Return what `verify` names."""
        found = verify_ledger(self.ledger.context, expect=None, progress=lambda _: nullcontext(lambda *_: None))
        return [problem.problem for problem in found.problems]


class Edited(NamedTuple):
    """One edit: the name by which the documentation would leave it out, and the statement."""

    name: str
    statement: str


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('walk') / 'ledger.db'}"
    else:
        server: str = request.getfixturevalue("postgres_server")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA walked")
        url = f"{server}&options={quote('-csearch_path=walked')}"
    with Ledger.open(url, app_of(url), create=True) as ledger, pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_cache, "SNAPSHOT_EVERY_EVENTS", 4)
        asyncio.run(_work(ledger))
        token = ledger.backend.register(host="walker", pid=1, lease_seconds=3600)
        ledger.backend.append(
            AppendCall(uuid4(), [], token, [CheckpointUpdate("service-walker", 0, ledger.backend.head().position)])
        )
        ledger.projector().catch_up(ledger.backend.head().position)
        if request.param == "postgresql":
            with psycopg.connect(url) as connection:
                ledger.start_in(connection, saving, 1, key="asked-for")
        yield Written(url, ledger)


async def _work(ledger: Ledger) -> None:
    for value, saga in enumerate((saving, patient, parked), 3):
        ledger.start(saga, value, key="1")
    ledger.start(saving, 4, key="2")
    ledger.start(patient, 4, key="2")
    async with asyncio.timeout(PATIENCE_SECONDS), Worker(ledger) as worker:
        await worker.idle()
    ledger.cancel("patient-2", actor="walker", reason="it rests for too long")


def columns_of(written: Written) -> dict[str, dict[str, str]]:
    """Return every table of the database with its columns and their types, from its catalogue."""
    statement = (
        "SELECT m.name, c.name, c.type FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c "
        "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY m.name, c.cid"
        if written.is_sqlite
        else "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns "
        "WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position"
    )
    found: dict[str, dict[str, str]] = {}
    for table, column, type_ in written.fetch(statement):
        found.setdefault(table, {})[column] = type_.lower()
    return found


def key_of(written: Written, table: str) -> list[str]:
    """Return the columns that no two rows of a table share: of its primary key, and of other unique constraints."""
    statement = (
        f"SELECT DISTINCT c.name FROM pragma_index_list('{table}') AS i JOIN pragma_index_info(i.name) AS c "
        f"WHERE i.\"unique\" UNION SELECT name FROM pragma_table_info('{table}') WHERE pk > 0"
        if written.is_sqlite
        else "SELECT DISTINCT a.attname::text FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid "
        f"AND a.attnum = ANY (i.indkey) WHERE i.indisunique AND i.indrelid = '\"{table}\"'::regclass"
    )
    return [name for (name,) in written.fetch(statement)]


def altered(written: Written, table: str, column: str, type_: str) -> str:
    """Return an expression that is another value of the column's type."""
    name = f'"{column}"'
    if type_ == "json":
        return "'{\"a\": 1}'"
    if type_ == "boolean" or (table, column) == ("due", "nudged"):
        return f"NOT coalesce({name}, false)"
    if type_ in ("text", "datetime"):
        return f"coalesce({name}, '') || 'x'"
    if type_ == "uuid":
        return "gen_random_uuid()"
    if type_.startswith("timestamp"):
        return f"coalesce({name}, now()) + interval '1000 days'"
    if type_ in ("blob", "bytea"):
        return f"CAST({name} || x'01' AS BLOB)" if written.is_sqlite else rf"{name} || '\x01'"
    amount = 86_400_000_000_000 if written.is_sqlite and column.endswith("_at") else 1_000
    return f"coalesce({name}, 0) + {amount}"


def edits_of(written: Written) -> Iterator[tuple[str, Edited]]:
    """Yield every edit of the walk, with its table."""
    row_id = "rowid" if written.is_sqlite else "ctid"
    for table, columns in columns_of(written).items():
        key = key_of(written, table)
        order = ", ".join(f'"{name}"' for name in key if name in columns)
        first = f'WHERE {row_id} = (SELECT {row_id} FROM "{table}" ORDER BY {order} LIMIT 1)'
        for column, type_ in columns.items():
            value = altered(written, table, column, type_)
            yield table, Edited(f"{table}.{column}", f'UPDATE "{table}" SET "{column}" = {value} {first}')
        names = ", ".join(f'"{name}"' for name in columns)
        values = ", ".join(
            altered(written, table, name, type_) if name in key else f'"{name}"' for name, type_ in columns.items()
        )
        overriding = "" if written.is_sqlite else "OVERRIDING SYSTEM VALUE"
        yield (
            table,
            Edited(
                f"{table}: a row inserted",
                f'INSERT INTO "{table}" ({names}) {overriding} SELECT {values} FROM "{table}" {first}',
            ),
        )
        yield table, Edited(f"{table}: a row deleted", f'DELETE FROM "{table}" {first}')


def tried(written: Written, table: str, edited: Edited) -> str | None:
    """Edit, verify, and restore the table. Return what was named, or why the database refused; None for neither."""
    columns = ", ".join(f'"{name}"' for name in columns_of(written)[table])
    copy = f'"{table}__walk"'
    overriding = "" if written.is_sqlite else "OVERRIDING SYSTEM VALUE"
    before = written.fetch(f'SELECT count(*) FROM "{table}"')
    assert before != [(0,)], f"the ledger of the walk has no row in {table}"
    edit(written.url, f'CREATE TABLE {copy} AS SELECT * FROM "{table}"')
    try:
        edit(written.url, edited.statement)
        problems = written.problems()
        return problems[0] if problems else None
    except (sqlite3.IntegrityError, psycopg.IntegrityError, psycopg.errors.GeneratedAlways) as refusal:
        return f"refused: {refusal}"
    finally:
        edit(
            written.url,
            f'DELETE FROM "{table}"',
            f'INSERT INTO "{table}" ({columns}) {overriding} SELECT {columns} FROM {copy}',
            f"DROP TABLE {copy}",
        )


def documented() -> set[str]:
    """Return what `docs/storage.md` says is outside of the proof."""
    text = STORAGE.read_text(encoding="utf-8").partition(UNSEEN)[2]
    rows = [line for line in text.strip().partition("\n\n")[0].splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def is_documented(name: str, table: str, outside: set[str]) -> bool:
    return name in outside or f"{table}.*" in outside


def test_the_ledger_of_the_walk_verifies(written: Written) -> None:
    """Before anything is edited; otherwise everything would seem to be found."""
    assert written.problems() == []


def test_every_edit_is_named_or_is_documented_as_outside_of_the_proof(written: Written) -> None:
    """Each column of each table of the catalogue, and a row more or less in each table."""
    outside = documented()
    unseen = [
        edited.name
        for table, edited in edits_of(written)
        if not is_documented(edited.name, table, outside) and tried(written, table, edited) is None
    ]

    assert unseen == [], f"not named: {unseen}"
    assert written.problems() == []  # and the walk has left no trace


def test_what_is_documented_exists(written: Written) -> None:
    """A name that no database has would hide that its successor is not documented."""
    edits = {edited.name for _, edited in edits_of(written)}
    tables = {f"{table}.*" for table, _ in edits_of(written)}
    only_on_postgresql = {"requests.*"} if written.is_sqlite else set()

    assert documented() - edits - tables == only_on_postgresql


UNREADABLE: dict[str, Callable[[bool], str | None]] = {
    "a time beyond every calendar": lambda sqlite: (
        "UPDATE events SET recorded_at = 9223372036854775807 WHERE position = 3" if sqlite else None
    ),
    "the head's time beyond every calendar": lambda sqlite: (
        f"UPDATE head SET recorded_at = {9223372036854775807 if sqlite else chr(39) + 'infinity' + chr(39)}"
    ),
    "a time of infinity": lambda sqlite: (
        None if sqlite else "UPDATE events SET recorded_at = 'infinity' WHERE position = 3"
    ),
    "an append at infinity": lambda sqlite: (
        None if sqlite else "UPDATE appends SET recorded_at = '-infinity' WHERE first_position = 1"
    ),
    "an append id of one byte": lambda sqlite: (
        "UPDATE appends SET append_id = x'01' WHERE first_position = 1" if sqlite else None
    ),
    "a missing head": lambda _: "DELETE FROM head",
    "JSON that is none in a view": lambda sqlite: "UPDATE worths SET worths = '{'" if sqlite else None,
    "a time that is none in a view": lambda sqlite: (
        f"UPDATE contents SET touched_at = {chr(39) + ('soon' if sqlite else 'infinity') + chr(39)}"
    ),
    "a time that is none in the checkpoints": lambda sqlite: (
        f"UPDATE projections SET updated_at = {chr(39) + ('soon' if sqlite else 'infinity') + chr(39)}"
    ),
    "a time that is none in the queue": lambda sqlite: (
        f"UPDATE due SET due_at = {9223372036854775807 if sqlite else chr(39) + 'infinity' + chr(39)}"
    ),
    "text that is not UTF-8": lambda sqlite: (
        "UPDATE events SET topic = CAST(x'ff' AS TEXT) WHERE position = 3" if sqlite else None
    ),
    "text that is not UTF-8 in a view": lambda sqlite: (
        "UPDATE contents SET jar = CAST(x'ff' AS TEXT)" if sqlite else None
    ),
    "text that is not UTF-8 in the queue": lambda sqlite: (
        "UPDATE due SET definition = CAST(x'ff' AS TEXT)" if sqlite else None
    ),
    "text that is not UTF-8 in a snapshot": lambda sqlite: (
        "UPDATE snapshots SET schema = CAST(x'ff' AS TEXT)" if sqlite else None
    ),
    "a made-up status": lambda _: "UPDATE projections SET status = 'fine' WHERE name = 'contents'",
    "a stopped view": lambda _: "UPDATE projections SET status = 'stopped' WHERE name = 'contents'",
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_read_is_a_problem_and_no_error(written: Written, what: str) -> None:
    """`verify` names it and returns."""
    statement = UNREADABLE[what](written.is_sqlite)
    if statement is None:
        pytest.skip("the other database's")
    table = re.findall(r"(?:UPDATE|FROM) (\w+)", statement)[0]

    assert tried(written, table, Edited(what, statement)) is not None


def test_a_view_that_was_emptied_and_stopped_is_named(written: Written) -> None:
    """At position 0, where a view without rows is what its events make."""
    copies = [("contents", "contents__walk"), ("projections", "projections__walk")]
    edit(written.url, *(f"CREATE TABLE {copy} AS SELECT * FROM {table}" for table, copy in copies))
    edit(
        written.url,
        "DELETE FROM contents",
        "UPDATE projections SET position = 0, status = 'stopped' WHERE name = 'contents'",
    )
    named = written.problems()
    for table, copy in copies:
        edit(written.url, f"DELETE FROM {table}", f"INSERT INTO {table} SELECT * FROM {copy}", f"DROP TABLE {copy}")

    assert any("it is stopped" in problem for problem in named)
    assert any("the journal ends with generation 1" in problem for problem in named)


@pytest.mark.parametrize("table", ["contents", "saga_steps", "projections", "projection_journal"])
def test_a_dropped_table_is_named(written: Written, table: str) -> None:
    """Of a view, and of the checkpoints."""
    edit(written.url, f"ALTER TABLE {table} RENAME TO {table}__gone")
    try:
        named = written.problems()
    finally:
        edit(written.url, f"ALTER TABLE {table}__gone RENAME TO {table}")

    assert named != []
    assert written.problems() == []


def test_the_command_exits_with_6(written: Written) -> None:
    """And names what is wrong; once it is right again it exits with 0."""
    command = [
        sys.executable,
        "-c",
        "from sagaledger.infrastructure.cli.main import main; main()",
        "verify",
        "--json",
        "--db",
        written.url,
    ]
    edit(written.url, "UPDATE definitions SET fingerprint = fingerprint || 'x' WHERE definition = 'saving'")
    edited = subprocess.run(command, capture_output=True, text=True, check=False)
    edit(written.url, "UPDATE definitions SET fingerprint = replace(fingerprint, 'x', '') WHERE definition = 'saving'")
    restored = subprocess.run(command, capture_output=True, text=True, check=False)

    assert edited.returncode == 6
    assert [problem["position"] for problem in json.loads(edited.stdout)["problems"]] == [1]
    assert "fingerprint" in edited.stdout
    assert restored.returncode == 0, restored.stderr
