"""The roles of `docs/how-to/roles.md`: what each of them can do, and what it cannot, over connections of its own."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine
from sqlalchemy.orm import Session

from sagaledger import App, Ledger, Projection, Saga, StepContext, Worker
from sagaledger.domain.errors import InvalidInput
from sagaledger.domain.saga.events import SagaStarted
from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.cli.exit_codes import ExitCode
from sagaledger.infrastructure.cli.main import run
from sagaledger.infrastructure.errors import NotSupported, PermanentlyUnavailable, Unavailable
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.role_names import RoleNames
from sagaledger.infrastructure.event_store.roles import create_roles, printed_roles
from sagaledger.infrastructure.event_store.schema_objects import declared, declared_tables
from sagaledger.infrastructure.event_store.sql_files import role_files
from sagaledger.infrastructure.event_store.verify import verify
from sagaledger.infrastructure.ledger.view_operations import prune_views, rebuild_view

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "roles.md"
SECONDS_MAX = 30.0
NAMES = RoleNames.of("of_the_tests", {})
SAGA = "counting-1"
counting = Saga("counting", input=int)


@counting.step(compensable=False)
async def count(number: int, _: StepContext) -> int:
    if number < 0:
        raise ValueError("less than nothing")
    return number + 1


def counts(version: int) -> Projection:
    """Return a view of the user's own, in a version."""
    columns = [Column("saga_id", Text, primary_key=True), Column("version", Integer, nullable=False)]
    view = Projection("counts", version=version, table=Table("counts", MetaData(), *columns))

    @view.on(SagaStarted, key=lambda recorded: recorded.stream_id)
    def counted(_row: Any, _event: Any, recorded: Any) -> dict[str, Any]:
        return {"saga_id": recorded.stream_id, "version": version}

    return view


APP = App(sagas=[counting])


def execute(url: str, statement: str, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def member(url: str, role: str) -> str:
    """Return the URL of a ledger for someone who logs in as a member of a role."""
    user = f"member_of_{role}"
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT to_regrole(%s)", [user]).fetchone() == (None,):
            login = sql.SQL("CREATE ROLE {} LOGIN IN ROLE {}").format(sql.Identifier(user), sql.Identifier(role))
            connection.execute(login)
    return url.replace("postgres:@", f"{user}:@")


def dropped(url: str, *names: str) -> None:
    """Drop roles and what they have in this database."""
    with psycopg.connect(url, autocommit=True) as connection:
        for name in names:
            if connection.execute("SELECT to_regrole(%s)", [name]).fetchone() != (None,):
                connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(name)))
                connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def ledger_url(postgres_server: str) -> Iterator[str]:
    """The URL of a ledger that has roles, as `sagaledger init --roles` makes it; here the database's superuser's.

    Tests share it: none of them relies on which sagas it has, and none changes a right for good.
    """
    execute(postgres_server, "CREATE DATABASE ledger_of_roles")
    url = postgres_server.replace("/postgres?", "/ledger_of_roles?")
    with Ledger.open(url, APP, create=True) as ledger:
        ledger.start(counting, 1, key="0")
        ledger.start(counting, 1, key="later", begins_at=datetime(2100, 1, 1, tzinfo=UTC))
        ledger.projector().catch_up()
    create_roles(url, NAMES)
    yield url
    dropped(url, *(f"member_of_{name}" for name in NAMES), *NAMES)
    execute(postgres_server, "DROP DATABASE ledger_of_roles WITH (FORCE)")


def work(ledger: Ledger, *saga_ids: str) -> list[Status]:
    """Let a worker take sagas to their end; returns how they ended."""

    async def scene() -> list[Status]:
        async with asyncio.timeout(SECONDS_MAX), Worker(ledger) as worker:
            return [(await worker.outcome(saga_id)).status for saga_id in saga_ids]

    return asyncio.run(scene())


def refused(url: str, *statements: str) -> None:
    """Each of these statements is beyond the rights of the role in a URL."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = sagaledger")
        for statement in statements:
            with pytest.raises(InsufficientPrivilege):
                connection.execute(statement.encode())


def test_the_app_does_all_that_a_program_does(ledger_url: str) -> None:
    """It works, starts, decides, rebuilds views and builds new versions of them, also of views that others made."""
    url = member(ledger_url, NAMES.app)
    with Ledger.open(url, App(sagas=[counting], projections=[counts(1)])) as ledger:
        started = [ledger.start(counting, number, key=f"of the app{number}").saga_id for number in (1, -2)]
        assert work(ledger, *started) == [Status.COMPLETED, Status.COMPENSATED]
        ledger.projector().catch_up()
        for view in ("sagas", "counts"):
            rebuild_view(ledger.context, view)
    rebuild_by_owner(ledger_url)

    with Ledger.open(url, App(sagas=[counting], projections=[counts(2)])) as ledger:
        rebuild_view(ledger.context, "sagas")
        ledger.projector().catch_up()
        assert {row["version"] for row in ledger.query("counts").rows} == {2}
        assert [generation.name for generation in prune_views(ledger.context).dropped] == ["counts__v1"]
        assert {row["saga_id"] for row in ledger.query("sagas").rows} >= set(started)
        assert verify(ledger.backend).ok


def rebuild_by_owner(url: str) -> None:
    """Rebuild a view as the owner and as the superuser: its table is again one of the app's."""
    for by in (member(url, NAMES.owner), url):
        with Ledger.open(by, APP) as ledger:
            rebuild_view(ledger.context, "sagas")
    with psycopg.connect(url) as connection:
        owners = connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'sagas'").fetchall()
    assert owners == [(NAMES.app,)]


def test_the_app_can_neither_change_nor_remove_what_was_recorded(ledger_url: str) -> None:
    """Nor change what the owner has, or switch the protection of the log off."""
    refused(
        member(ledger_url, NAMES.app),
        "UPDATE events SET topic = 'Other'",
        "DELETE FROM events",
        "TRUNCATE events",
        "UPDATE appends SET hash = hash",
        "DELETE FROM appends",
        "TRUNCATE appends",
        "DELETE FROM head",
        "INSERT INTO head SELECT 2, position, hash, recorded_at FROM head",
        "UPDATE definitions SET fingerprint = 'x'",
        "DELETE FROM structures",
        "UPDATE sagaledger_schema SET version = 1",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "DROP TABLE events",
        "CREATE OR REPLACE FUNCTION refuse_log_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "ALTER FUNCTION nudge RENAME TO push",
        "SET session_replication_role = replica",
        "ALTER SCHEMA sagaledger RENAME TO mine",
        f"SET ROLE {NAMES.owner}",
    )


def test_the_requester_asks_for_sagas_and_does_nothing_else(ledger_url: str) -> None:
    """In its own transaction, with each kind of connection; a worker starts them."""
    url = member(ledger_url, NAMES.requester)
    with Ledger.open(url, APP) as ledger:
        with psycopg.connect(url) as connection:
            asked = [ledger.start_in(connection, counting, 1, key="asked for")]
        engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
        with Session(engine) as session, session.begin():
            asked.append(ledger.start_in(session, counting, 2, key="asked for, too"))
        engine.dispose()
        with pytest.raises(PermanentlyUnavailable, match="permission denied"):
            ledger.start(counting, 3, key="3")
    refused(
        url,
        "SELECT * FROM requests",
        "DELETE FROM requests",
        "UPDATE requests SET reason = 'mine'",
        "INSERT INTO requests (saga_id, definition, definition_version, fingerprint, input, worker_id) "
        "VALUES ('x', 'counting', 1, 'y', '1', 'z')",
        "SELECT * FROM events",
        "INSERT INTO events SELECT * FROM events",
        "SELECT * FROM sagas",
        "SELECT * FROM projections",
        "SELECT * FROM due",
        "UPDATE head SET position = 0",
        "CREATE TABLE mine (id integer)",
    )

    with Ledger.open(member(ledger_url, NAMES.app), APP) as ledger:

        async def begun() -> None:
            async with asyncio.timeout(SECONDS_MAX), Worker(ledger) as worker:
                await worker.idle()

        asyncio.run(begun())
        assert [ledger.state(saga_id).status for saga_id in asked] == [Status.COMPLETED] * 2


READS = [
    ("list",),
    ("show", "counting-0"),
    ("history", "counting-0"),
    ("state", "counting-0"),
    ("diff", "counting-0", "v1", "v1"),
    ("query", "sagas"),
    ("projections",),
    ("definitions",),
    ("workers",),
    ("requests",),
    ("schedules", "list"),
    ("verify",),
]


def test_the_reader_reads_everything(ledger_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also views that were made after it, by the app or by the owner."""
    of_the_reader = Projection("read", version=1, table=Table("read", MetaData(), Column("a", Text, primary_key=True)))
    with Ledger.open(member(ledger_url, NAMES.app), App(sagas=[counting], projections=[of_the_reader])) as ledger:
        ledger.projector().catch_up()
    rebuild_by_owner(ledger_url)
    url = member(ledger_url, NAMES.reader)

    for words in (*READS, ("query", "read")):
        assert run([*words, "--db", url]) is ExitCode.OK, (words, capsys.readouterr().err)


def test_the_reader_writes_nothing(ledger_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in the log nor beside it."""
    url = member(ledger_url, NAMES.reader)
    refused(
        url,
        "INSERT INTO events SELECT * FROM events",
        "UPDATE events SET topic = 'Other'",
        "DELETE FROM events",
        "TRUNCATE events",
        "UPDATE head SET position = 0",
        "INSERT INTO requests (saga_id) VALUES ('x')",
        "DELETE FROM snapshots",
        "UPDATE sagas SET status = 'completed'",
        "UPDATE projections SET position = 0",
        "SELECT nextval('worker_epochs')",
        "CREATE TABLE mine (id integer)",
    )
    assert run(["cancel", "counting-later", "--reason", "why", "--db", url]) is ExitCode.UNAVAILABLE
    assert "permission denied" in capsys.readouterr().err


def test_the_owner_upgrades_the_ledger_and_gives_the_rights_again(
    ledger_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it creates belongs to the role and not to its member, and `init --roles` needs a superuser once."""
    execute(ledger_url, "DROP TABLE sagaledger.structures")
    execute(ledger_url, "DELETE FROM sagaledger.sagaledger_schema WHERE version > 6")
    url = member(ledger_url, NAMES.owner)

    open_backend(url, create=True).close()
    assert owners_of(ledger_url) == {NAMES.owner, NAMES.app}

    assert run(["init", "--roles", "--role-prefix", "of_the_tests", "--db", url]) is ExitCode.OK, capsys.readouterr()
    with Ledger.open(member(ledger_url, NAMES.app), APP) as ledger:
        assert work(ledger, ledger.start(counting, 1, key="upgraded").saga_id) == [Status.COMPLETED]
        assert verify(ledger.backend).ok


def owners_of(url: str) -> set[str]:
    """Return the owners of everything in the schema, and of the schema."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE relnamespace = 'sagaledger'::regnamespace "
            "UNION SELECT pg_get_userbyid(proowner)::text FROM pg_proc WHERE pronamespace = 'sagaledger'::regnamespace "
            "UNION SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = 'sagaledger'"
        )
        return {owner for (owner,) in found}


def test_rights_that_a_role_should_not_have_are_taken_from_it(ledger_url: str) -> None:
    """Such as those that an earlier page gave to all tables; and again and again is the same as once."""
    execute(ledger_url, "GRANT ALL ON ALL TABLES IN SCHEMA sagaledger TO {}, {}", NAMES.app, NAMES.reader)
    create_roles(ledger_url, NAMES)
    once = rights_in(ledger_url)
    create_roles(ledger_url, NAMES)

    assert rights_in(ledger_url) == once
    refused(member(ledger_url, NAMES.app), "DELETE FROM events", "TRUNCATE events")
    refused(member(ledger_url, NAMES.reader), "DELETE FROM due", "TRUNCATE requests")


def rights_in(url: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT relname, relowner, relacl::text FROM pg_class WHERE relnamespace = 'sagaledger'::regnamespace "
            "UNION SELECT nspname, nspowner, nspacl::text FROM pg_namespace ORDER BY 1"
        ).fetchall()


def test_no_table_of_the_log_passes_for_a_view(ledger_url: str) -> None:
    """The app writes to `projections`, and the owner gives it the tables that are named there."""
    app = member(ledger_url, NAMES.app)
    execute(
        app,
        "INSERT INTO sagaledger.projections SELECT name, 1, 1, 0, 'live', NULL, NULL, now() "
        "FROM (VALUES ('events'), ('head')) AS pretended (name)",
    )

    create_roles(ledger_url, NAMES)

    refused(app, "DELETE FROM events", "DROP TABLE head")
    execute(app, "DELETE FROM sagaledger.projections WHERE name IN ('events', 'head')")


def test_a_role_that_may_not_create_roles_is_told_what_helps(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An administrator executes what it prints, and it has created the schema all the same."""
    execute(database_url, "CREATE ROLE {} LOGIN", "modest")
    execute(database_url, "CREATE SCHEMA sagaledger AUTHORIZATION {}", "modest")
    command = ["init", "--roles", "--role-prefix", "other", "--db", database_url.replace("postgres:@", "modest:@")]

    assert run(command) is ExitCode.UNAVAILABLE
    assert re.search(r"refuses role 'modest' .*permission denied.* --roles --print", capsys.readouterr().err)
    assert run([*command, "--print", "--json"]) is ExitCode.OK
    with psycopg.connect(database_url, autocommit=True) as administrator:
        administrator.execute(json.loads(capsys.readouterr().out)["sql"].encode())

    names = RoleNames.of("other", {})
    assert owners_of(database_url) == {names.owner, names.app}
    dropped(database_url, *names, "modest")


def test_a_role_that_may_create_roles_needs_no_superuser(database_url: str) -> None:
    """It becomes a member of the owner, whose tables it made."""
    execute(database_url, "CREATE ROLE {} LOGIN CREATEROLE", "maker")
    execute(database_url, "CREATE SCHEMA sagaledger AUTHORIZATION {}", "maker")
    url = database_url.replace("postgres:@", "maker:@")
    names = RoleNames.of("made", {"app": "made_shop"})
    with Ledger.open(url, APP, create=True) as ledger:
        create_roles(url, names)
        create_roles(url, names)
        rebuild_view(ledger.context, "sagas")

    assert owners_of(database_url) == {"made_owner", "made_shop", "maker"}  # the schema stays the maker's
    dropped(database_url, *names, "maker")


def test_a_ledger_in_public_gets_roles_too(database_url: str) -> None:
    """The schema stays the database's, and the tables of other programs stay theirs."""
    url = f"{database_url}&schema=public"
    with Ledger.open(url, APP, create=True) as ledger:
        ledger.projector().catch_up()
    execute(database_url, "CREATE TABLE public.customers (id integer)")
    names = RoleNames.of("in_public", {})
    create_roles(database_url, names)

    with psycopg.connect(database_url) as connection:
        tables = connection.execute(
            "SELECT tablename::text, tableowner::text FROM pg_tables WHERE schemaname = 'public'"
        )
        others = {table: owner for table, owner in tables if owner not in (names.owner, names.app)}
        [schema] = connection.execute("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'public'")
    assert others == {"customers": "postgres"}
    assert schema == ("pg_database_owner",)
    with Ledger.open(member(database_url, names.app), APP) as ledger:
        rebuild_view(ledger.context, "sagas")
    dropped(database_url, f"member_of_{names.app}", *names)


def test_a_role_that_no_right_limits_is_refused(database_url: str) -> None:
    """A superuser, or a member of the owner, is no app: its rights would be a pretence."""
    open_backend(database_url, create=True).close()

    with pytest.raises(InvalidInput, match="role postgres is a superuser"):
        create_roles(database_url, RoleNames.of("x", {"app": "postgres"}))

    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regrole('x_owner')").fetchone() == (None,)


@pytest.mark.parametrize(
    ("prefix", "others", "message"),
    [
        ("x", {"worker": "y"}, "owner, app, requester, reader"),
        ("x", {"app": "y'; DROP TABLE events"}, "cannot be the name"),
        ("pg", {}, "'pg_owner' cannot be the name"),
        ("x" * 60, {}, "up to 63"),
        ("x", {"app": "y", "reader": "y"}, "a name of its own"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(prefix: str, others: dict[str, str], message: str) -> None:
    """Before the database is asked."""
    with pytest.raises(InvalidInput, match=message):
        RoleNames.of(prefix, others)


def test_only_postgresql_has_roles(sqlite_url: str) -> None:
    """A SQLite file is not created for it."""
    with pytest.raises(NotSupported, match="only PostgreSQL has roles"):
        printed_roles(sqlite_url, NAMES)
    assert run(["init", "--roles", "--db", sqlite_url]) is not ExitCode.OK
    assert run(["init", "--print", "--db", sqlite_url]) is ExitCode.USAGE
    with pytest.raises(Unavailable, match="there is no ledger"):
        open_backend(sqlite_url, must_exist=True)


def test_the_logins_of_the_page_are_members(database_url: str) -> None:
    """As its SQL makes them; the auditor reads views without naming the schema."""
    with Ledger.open(database_url, APP, create=True) as ledger:
        ledger.projector().catch_up()
    names = RoleNames.of("sagaledger", {})
    create_roles(database_url, names)
    logins = re.findall(r"^CREATE ROLE (\w+) LOGIN IN ROLE (\w+);$", documented(), re.MULTILINE)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(documented().encode())

    assert [role for _, role in logins] == list(names)
    with psycopg.connect(database_url.replace("postgres:@", "auditor:@")) as connection:
        assert connection.execute("SELECT * FROM sagas").fetchall() == []
    dropped(database_url, *(login for login, _ in logins))


def documented() -> str:
    """Return the SQL of the page."""
    return PAGE.read_text(encoding="utf-8").partition("```sql\n")[2].partition("```")[0]


def test_the_files_name_every_object_of_the_log() -> None:
    """A migration that adds one has to say who may do what with it."""
    script = "\n".join(role_files())
    functions = {name for name in declared("postgres", 99).texts if not name.endswith(("_continue", "_not_changed"))}
    for name in declared_tables("postgresql"):
        assert script.count(f"{{schema}}.{name}") >= 4, name
    assert {name for name in functions | declared_tables("postgresql") if f"'{name}'" not in role_files()[1]} == set()
