"""Starting a saga inside a transaction of one's own: it commits or rolls back with the rows beside it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from sagaledger.domain.errors import InvalidInput
from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.errors import NotALedger, NotSupported, Unavailable
from sagaledger.infrastructure.event_store.start_requests import StartRequest
from sagaledger.infrastructure.ledger import state_reader
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.context import LedgerContext
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.worker import start_queue

from ..worker.conftest import play, until, worker_on
from .trip import APP, Trip, trip

ROME = Trip("Rome", 2)


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[Ledger]:
    with Ledger.open(postgres_url, APP, create=True) as opened:
        yield opened


@pytest.fixture
def mine(postgres_server: str) -> Iterator[psycopg.Connection]:
    """A connection of the program's own, which looks in another schema than the ledger's."""
    with psycopg.connect(postgres_server) as connection:
        yield connection


def requests_of(ledger: Ledger) -> list[StartRequest]:
    assert ledger.backend.start_requests is not None
    return ledger.backend.start_requests.listed(limit=100)


def work(ledger: Ledger) -> None:
    """Work until nothing is asked for, and nothing due."""

    async def scene() -> None:
        async with worker_on(ledger) as worker:
            await worker.idle()

    play(scene())


def test_a_saga_is_started_when_the_callers_transaction_commits(ledger: Ledger, mine: psycopg.Connection) -> None:
    """Before that there is nothing; after it a worker takes the saga to its end, and the request is gone."""
    saga_id = ledger.start_in(mine, trip, ROME, actor="ann")
    work(ledger)
    assert ledger.backend.stream(saga_id) == []

    mine.commit()
    work(ledger)

    assert saga_id == "trip-Rome.2"
    assert ledger.state(saga_id).status is Status.COMPLETED
    assert ledger.history(saga_id)[0].meta.actor == "ann"
    assert requests_of(ledger) == []


def test_a_rolled_back_transaction_takes_the_saga_with_it(ledger: Ledger, mine: psycopg.Connection) -> None:
    """Nothing of it is ever seen."""
    saga_id = ledger.start_in(mine, trip, ROME)
    mine.rollback()

    work(ledger)

    assert requests_of(ledger) == []
    assert ledger.backend.stream(saga_id) == []


def test_sqlalchemy_connections_and_sessions_do_as_well(ledger: Ledger, postgres_server: str) -> None:
    """The caller's rows and the saga are committed by the same commit."""
    engine = create_engine(postgres_server.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS bookings (place text)"))
        ledger.start_in(connection, trip, ROME)
    with Session(engine) as session, session.begin():
        session.execute(text("INSERT INTO bookings VALUES ('Oslo')"))
        ledger.start_in(session, trip, Trip("Oslo", 1))
    engine.dispose()

    work(ledger)

    assert {ledger.state(f"trip-{key}").status for key in ("Rome.2", "Oslo.1")} == {Status.COMPLETED}


def test_a_callers_open_transaction_holds_nobody_up(ledger: Ledger, mine: psycopg.Connection) -> None:
    """However long it stays open, the log goes on."""
    ledger.start_in(mine, trip, ROME)

    other = ledger.start(trip, Trip("Oslo", 1))
    work(ledger)

    assert ledger.state(other.saga_id).status is Status.COMPLETED
    mine.rollback()


def test_the_same_saga_asked_for_twice_is_one_saga(ledger: Ledger, mine: psycopg.Connection) -> None:
    """By requests, and by a start beside them."""
    ledger.start_in(mine, trip, ROME)
    ledger.start_in(mine, trip, ROME)
    mine.commit()
    begun = ledger.start(trip, ROME)

    work(ledger)

    assert requests_of(ledger) == []
    facts = [type(r.event).__name__ for r in ledger.history(begun.saga_id, participants=False)]
    assert facts.count("SagaStarted") == facts.count("SagaCompleted") == 1


def test_a_request_that_cannot_be_granted_stays_with_the_reason(ledger: Ledger, mine: psycopg.Connection) -> None:
    """Its id belongs to a saga with another input; those beside it are started."""
    ledger.start(trip, ROME, key="taken")
    ledger.start_in(mine, trip, Trip("Oslo", 1), key="taken")
    ledger.start_in(mine, trip, Trip("Bonn", 1))
    mine.commit()

    work(ledger)

    [refused] = requests_of(ledger)
    assert (refused.saga_id, refused.refused_at is not None) == ("trip-taken", True)
    assert "another input" in (refused.reason or "")
    assert ledger.state("trip-Bonn.1").status is Status.COMPLETED


def test_two_workers_start_every_requested_saga_once(ledger: Ledger, mine: psycopg.Connection) -> None:
    """Neither loses one, whoever takes it."""
    asked = [ledger.start_in(mine, trip, Trip(f"place {number}", 1)) for number in range(300)]
    mine.commit()

    async def scene() -> None:
        async with worker_on(ledger) as one, worker_on(ledger) as other:
            for saga_id in asked:
                await until(lambda id_=saga_id: bool(ledger.backend.stream(id_, upto=1)))  # type: ignore[misc]
            await one.idle()
            await other.idle()

    play(scene())

    assert {ledger.state(saga_id).status for saga_id in asked} == {Status.COMPLETED}
    assert requests_of(ledger) == []


def test_requests_of_a_worker_that_died_are_taken_by_the_next(ledger: Ledger, mine: psycopg.Connection) -> None:
    """It took them, and never answered."""
    saga_id = ledger.start_in(mine, trip, ROME)
    mine.commit()
    dead = ledger.backend.register(host="here", pid=1, lease_seconds=0.01)
    assert ledger.backend.start_requests is not None
    assert len(ledger.backend.start_requests.take(dead, definitions=[("trip", 1)], limit=10)) == 1

    async def scene() -> None:
        async with worker_on(ledger):
            await until(lambda: not requests_of(ledger))

    play(scene())
    work(ledger)
    assert ledger.state(saga_id).status is Status.COMPLETED


def test_requests_whose_answer_was_lost_are_asked_for_again(
    ledger: Ledger, mine: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database noted that this worker has them, and went away before it could say so: others may not take them."""
    saga_id = ledger.start_in(mine, trip, ROME)
    mine.commit()
    requests = ledger.backend.start_requests
    take = requests.take if requests is not None else None
    lost: list[StartRequest] = []

    def take_and_lose_the_answer(*given: Any, **named: Any) -> list[StartRequest]:
        assert take is not None
        taken = take(*given, **named)
        if taken and not lost:
            lost.extend(taken)
            raise Unavailable("the answer was lost")
        return taken

    monkeypatch.setattr(requests, "take", take_and_lose_the_answer)

    async def scene() -> None:
        async with worker_on(ledger):
            await until(lambda: not requests_of(ledger))

    play(scene())

    assert [request.saga_id for request in lost] == [saga_id]
    facts = [type(r.event).__name__ for r in ledger.history(saga_id, participants=False)]
    assert facts.count("SagaStarted") == 1


def test_a_database_that_is_away_is_no_reason_to_refuse(
    ledger: Ledger, mine: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its saga is there already, which could not be seen at first: the request is granted all the same."""
    ledger.start(trip, ROME)
    ledger.start_in(mine, trip, ROME)
    mine.commit()
    looked: list[str] = []

    def look_later(context: LedgerContext, saga_id: str) -> Any:
        looked.append(saga_id)
        if len(looked) == 1:
            raise Unavailable("away")
        return state_reader.saga_events(context, saga_id)

    monkeypatch.setattr(start_queue, "saga_events", look_later)

    work(ledger)

    assert looked == ["trip-Rome.2", "trip-Rome.2"]
    assert requests_of(ledger) == []


def test_a_request_may_be_for_later(ledger: Ledger, mine: psycopg.Connection) -> None:
    """Its saga is there at once, and begins at its time."""
    begins_at = datetime.now(UTC) + timedelta(hours=1)
    saga_id = ledger.start_in(mine, trip, ROME, begins_at=begins_at)
    mine.commit()

    work(ledger)

    state = ledger.state(saga_id)
    assert (state.status, state.begins_at, state.steps) == (Status.WAITING, begins_at, {})


def test_what_is_no_connection_to_the_ledgers_database_is_refused(
    ledger: Ledger, postgres_server: str, mine: psycopg.Connection
) -> None:
    """Each with the remedy; and an input that does not fit, before anything is written."""
    with pytest.raises(InvalidInput, match="psycopg Connection, or a SQLAlchemy"):
        ledger.start_in("postgresql://", trip, ROME)
    with pytest.raises(InvalidInput, match="seats"):
        ledger.start_in(mine, trip, {"place": "Rome"})
    mine.rollback()
    with psycopg.connect(postgres_server, autocommit=True) as server:
        server.execute("CREATE DATABASE elsewhere")
    with (
        psycopg.connect(postgres_server, dbname="elsewhere") as elsewhere,
        pytest.raises(NotALedger, match="database without this ledger"),
    ):
        ledger.start_in(elsewhere, trip, ROME)


def test_a_sqlite_ledger_says_what_to_do_instead(tmp_path: Path) -> None:
    """It has no transaction to share."""
    with (
        Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", App(sagas=[trip])) as ledger,
        pytest.raises(NotSupported, match="commit, then call `start`"),
    ):
        ledger.start_in(None, trip, ROME)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("saga_id = 'shelf-a'", "'shelf-a' is none of a saga 'trip'"),
        ("saga_id = 'trip-'", "must be 1 to 200 printable characters"),
        ("saga_id = 'trip-' || repeat('x', 201)", "must be 1 to 200 printable characters"),
        ("saga_id = E'trip-a\\nb'", "must be 1 to 200 printable characters"),
        ("input = 'no JSON'", "does not fit"),
        ("begins_at = 'infinity'", "without infinity"),
        ("begins_at = '-infinity'", "without infinity"),
    ],
)
def test_a_row_is_held_to_the_rules_of_start(
    ledger: Ledger, mine: psycopg.Connection, postgres_url: str, change: str, reason: str
) -> None:
    """Whoever may write to the table can write what `start` would refuse: it is put aside, and the others go on."""
    ledger.start_in(mine, trip, ROME)
    mine.commit()
    with psycopg.connect(postgres_url) as connection:
        connection.execute(f"UPDATE requests SET {change}")  # type: ignore[arg-type]  # noqa: S608 -- the test's own
    ledger.start_in(mine, trip, Trip("Oslo", 1))
    mine.commit()

    work(ledger)

    assert ledger.state("trip-Oslo.1").status is Status.COMPLETED
    (refused,) = requests_of(ledger)
    assert reason in (refused.reason or "")
    assert ledger.backend.stream("shelf-a") == []


@pytest.mark.parametrize("wrong", [5, b"ann", ["ann"], "\ud800", "a\0b"])
def test_an_actor_that_no_row_can_hold_is_refused(ledger: Ledger, mine: psycopg.Connection, wrong: Any) -> None:
    """Before anything is sent: an error of the database would end the caller's transaction."""
    with pytest.raises(InvalidInput, match="the actor"):
        ledger.start_in(mine, trip, ROME, actor=wrong)
    ledger.start_in(mine, trip, ROME, actor="ann")
    mine.commit()
    assert [request.actor for request in requests_of(ledger)] == ["ann"]
