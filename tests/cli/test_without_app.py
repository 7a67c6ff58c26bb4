"""A ledger read without any app: from what its database records, and without creating anything."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from sagaledger.infrastructure.cli.exit_codes import ExitCode
from sagaledger.infrastructure.cli.main import run
from sagaledger.infrastructure.shop.order_import import SLICE

from .conftest import APP_FILE
from .shell import ORDER, Shell

PARKED = {"traveller": "ada", "hotel": "full", "airline_answers": False}
SHOP_VIEWS = {"orders", "inventory", "payments", "shipments", "loyalty"}
READS = (
    ("list",),
    ("list", "--stalled"),
    ("show", "book_trip-ada"),
    ("history", "book_trip-ada"),
    ("state", "book_trip-ada"),
    ("diff", "book_trip-ada", "v2", "v4"),
    ("query", "sagas"),
    ("projections",),
    ("definitions",),
    ("requests",),
    ("workers",),
    ("deadletters", "list"),
    ("verify",),
)
DECLINED = "fulfil_order-536366"


@pytest.fixture
def stranger(shell: Shell) -> Shell:
    """A shell without an app on a ledger of a user's own: one trip that needs a person."""
    (shell.folder / APP_FILE.name).write_text(APP_FILE.read_text())
    app = ("--app", "bookings:APP")
    del shell.environment["SAGALEDGER_APP"]
    assert shell("start", "book_trip", *app, "--input", json.dumps(PARKED)).returncode == 0
    assert shell("worker", *app, "--until-idle").returncode == 0
    return shell


@pytest.fixture(scope="module")
def choreographed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell without an app on a ledger of choreographed orders; tests only read it."""
    opened = Shell(tmp_path_factory.mktemp("choreographed"), "sqlite:///flows.db")
    done = opened("run", str(SLICE), "--style", "choreography", "--decline-rate", "0.1", "--seed", "7")
    assert done.returncode == 0, done.stderr
    yield opened
    opened.close()


def tables(url: str, folder: Path) -> set[str]:
    """The tables of a ledger's database."""
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(folder / url.removeprefix("sqlite:///"))) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    with psycopg.connect(url) as postgres:
        found = postgres.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema")
        return {name for (name,) in found}


def test_no_read_creates_anything_in_a_strangers_ledger(stranger: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    """Every read works without the app; afterwards the database has the tables that it had, and none of the shop's."""
    url = stranger.environment["SAGALEDGER_DB"]
    before = tables(url, stranger.folder)

    for words in READS:
        assert run([*words, "--db", url]) is ExitCode.OK, (words, capsys.readouterr().err)

    assert tables(url, stranger.folder) == before
    assert not before & SHOP_VIEWS


def test_a_role_that_may_only_select_is_enough_for_every_read(
    tmp_path: Path, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also while the views are behind and no worker is there: the answer says how far."""
    owner = Shell(tmp_path, postgres_url)
    (tmp_path / APP_FILE.name).write_text(APP_FILE.read_text())
    app = ("--app", "bookings:APP")
    assert owner("init", *app).returncode == 0
    owner("start", "book_trip", *app, "--input", json.dumps(PARKED))
    owner("worker", *app, "--until-idle")
    owner("start", "book_trip", *app, "--input", json.dumps({"traveller": "bob"}))
    reader = Shell(tmp_path, reader_of(postgres_url))

    for words in READS:
        assert run([*words, "--db", reader.environment["SAGALEDGER_DB"]]) is ExitCode.OK, words

    messages = capsys.readouterr().err
    assert "the views stay behind" in messages
    assert "lag" in messages
    refused = reader("cancel", "book_trip-bob", "--reason", "I may not")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (5, 1), refused.stderr


def reader_of(url: str) -> str:
    """The URL of a ledger for a new role that may only read it."""
    with psycopg.connect(url, autocommit=True) as owner:
        [schema] = owner.execute("SELECT current_schema()").fetchone() or [""]
        role = f"reader_of_{schema}"
        name, place = psycopg.sql.Identifier(role), psycopg.sql.Identifier(schema)
        owner.execute(psycopg.sql.SQL("CREATE ROLE {} LOGIN").format(name))
        owner.execute(psycopg.sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(place, name))
        owner.execute(psycopg.sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}").format(place, name))
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role}:@{parts.netloc.rpartition('@')[2]}"))


@pytest.mark.parametrize("words", [("list",), ("cancel", "x-1", "--reason", "y")], ids=" ".join)
def test_a_missing_file_is_an_error_and_is_not_created(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """The message names the file and the command that creates it."""
    file = tmp_path / "mistyped.db"

    assert run([*words, "--db", f"sqlite:///{file}"]) is ExitCode.UNAVAILABLE

    message = capsys.readouterr().err
    assert message.startswith(f"sagaledger: there is no ledger in {file}: `sagaledger init --db sqlite:///{file}`")
    assert list(tmp_path.iterdir()) == []


def test_a_person_operates_a_saga_without_its_app(stranger: Shell) -> None:
    """`retry` and `abandon` need no code; `skip` and `resolve` say which code they need and how to give it."""
    shown = stranger.json("show", "book_trip-ada")
    resolved = stranger("intervene", "resolve", "book_trip-ada", "--result", "null", "--reason", "x")
    skipped = stranger("intervene", "skip", "book_trip-ada", "--reason", "x")
    retried = stranger.json("intervene", "retry", "book_trip-ada", "--reason", "the airline is back")
    signalled = stranger("signal", "book_trip-ada", "weather", "--payload", "1")
    cancelled = stranger("cancel", "book_trip-ada", "--reason", "x")

    assert shown["status"] == "needs_intervention"
    for done in (resolved, skipped):
        assert (done.returncode, "no saga 'book_trip' is registered" in done.stderr) == (3, True)
        assert "--app module:object" in done.stderr
    assert retried["action"] == "retry"
    assert signalled.returncode == 0
    assert (cancelled.returncode, "already turning back" in cancelled.stderr) == (4, True)


def test_a_waiting_step_is_approved_from_its_recorded_wait(shell: Shell) -> None:
    """Nothing but the log says which signal it waits for."""
    source = Path(__file__).with_name("approvals.py")
    (shell.folder / source.name).write_text(source.read_text())
    app = ("--app", "approvals:APP")
    del shell.environment["SAGALEDGER_APP"]
    shell("start", "payout", *app, "--input", '{"number": "1"}')
    early = shell("approve", "payout-1", "approval", "--reason", "before it waits")
    shell("worker", *app, "--until-idle")

    assert shell("approve", "payout-1", "approval", "--payload", '"ann"', "--reason", "checked").returncode == 0
    shell("worker", *app, "--until-idle")

    assert (early.returncode, "no saga 'payout' is registered" in early.stderr) == (3, True)
    assert shell.json("show", "payout-1")["result"] == "paid 1, as ann said"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("worker", "--until-idle"), "the sagas to drive"),
        (("participants",), "services"),
        (("participants", "run"), "services"),
        (("projections", "rebuild", "orders"), "its projection"),
        (("projections", "drift", "orders"), "its projection"),
        (("query", "orders", "--at", "@100"), "its projection"),
        (("deadletters", "replay", "payment", "7", "--reason", "x"), "service 'payment'"),
    ],
)
def test_what_needs_code_names_the_missing_part(shop: Shell, words: tuple[str, ...], part: str) -> None:
    """Exit code 2, on one line that says how to name the app."""
    done = shop(*words)

    assert done.returncode == 2, done.stderr
    assert part in done.stderr
    assert "--app module:object (--app shop is the online shop)" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_events_of_unregistered_types_are_shown_as_they_are_stored(shop: Shell) -> None:
    """By the stored name and the JSON data; with the app, the same positions and names."""
    without = shop.json("history", DECLINED)["events"]
    with_app = shop.json("history", DECLINED, "--app", "shop")["events"]

    assert without == with_app
    assert "InventoryReserved" in shop("history", DECLINED).stdout


def test_views_are_read_by_the_columns_of_their_tables(shop: Shell) -> None:
    """The rows of a view that no app declares are those that its app shows; times in SQLite are text then."""
    asked = ("query", "orders", "--where", "status=cancelled", "--order", "-total_minor", "--limit", "3")
    times = {"placed_at", "closed_at"}

    recorded, declared = shop.json(*asked)["rows"], shop.json(*asked, "--app", "shop")["rows"]

    assert [row.keys() for row in recorded] == [row.keys() for row in declared]
    assert [{name: value for name, value in row.items() if name not in times} for row in recorded] == [
        {name: value for name, value in row.items() if name not in times} for row in declared
    ]


def test_verify_names_the_views_that_it_could_not_compare(shop: Shell) -> None:
    """The log and the views of sagas are verified all the same."""
    found = shop.json("verify")

    assert found["ok"]
    assert set(found["views_not_compared"]) == SHOP_VIEWS | {"dead_letters", "findings"}
    assert "not compared" in shop("verify").stderr


def test_a_choreographed_saga_is_shown_without_its_choreography(choreographed: Shell) -> None:
    """The recorded events and the row of the view; its steps, its state and its cancellation need the app."""
    saga_id = choreographed.json("list", "--status", "compensated", "--limit", "1")["sagas"][0]["saga_id"]
    shown = choreographed.json("show", saga_id)
    screen = choreographed("show", saga_id)
    history = choreographed("history", saga_id)
    state = choreographed("state", saga_id)
    cancelled = choreographed("cancel", saga_id, "--reason", "x")

    assert (shown["status"], shown["row"]["style"]) == ("compensated", "choreographed")
    assert "PaymentFailed" in {event["event"] for event in shown["events"]}
    assert "steps are derived with the app" in screen.stdout
    assert "PaymentFailed" in history.stdout
    assert "steps are derived with the app" in history.stderr
    for done in (state, cancelled):
        assert (done.returncode, "needs its choreography" in done.stderr) == (2, True), done.stderr


def test_views_of_sagas_are_left_alone_where_a_choreography_is_missing(choreographed: Shell) -> None:
    """Folding them without it would pass over its sagas: they are not rebuilt, compared or brought up."""
    before = choreographed.json("list", "--limit", "200")["sagas"]
    rebuilt = choreographed("projections", "rebuild", "sagas")
    verified = choreographed.json("verify")

    assert (rebuilt.returncode, "the choreography of process" in rebuilt.stderr) == (2, True), rebuilt.stderr
    assert verified["ok"]
    assert {"sagas", "saga_steps", "interventions"} <= set(verified["views_not_compared"])
    assert choreographed.json("list", "--limit", "200")["sagas"] == before
    assert choreographed.json("verify", "--app", "shop")["views_not_compared"] == []


def test_a_saga_is_listed_before_any_worker_has_run(sqlite_shell: Shell) -> None:
    """`start` creates the views, and `list` brings those of sagas up, with the events of participants unread."""
    sqlite_shell("start", "fulfil_order", "--app", "shop", "--input", json.dumps(ORDER))

    assert [saga["saga_id"] for saga in sqlite_shell.json("list")["sagas"]] == ["fulfil_order-T1"]
    assert sqlite_shell.json("query", "orders")["rows"] == []
    assert len(sqlite_shell.json("query", "orders", "--app", "shop")["rows"]) == 1
