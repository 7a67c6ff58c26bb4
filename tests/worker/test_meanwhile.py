"""Sagas that become ready while the log writes are drafted meanwhile, and sent together once it has answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic, sleep
from uuid import uuid4

import psycopg
import pytest
from msgspec import Raw

from sagaledger.domain.participant import Command
from sagaledger.domain.recorded_event import Meta
from sagaledger.domain.saga.outcome import Success
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import Status
from sagaledger.domain.saga.step import StepContext
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.saga_start import SagaStart
from sagaledger.infrastructure.worker import engine as engines
from sagaledger.infrastructure.worker.engine import Engine
from sagaledger.infrastructure.worker.group_commit import pipeline
from sagaledger.infrastructure.worker.messages import AttemptEnded, Dispatch, StartSaga

from .conftest import drive, play, until, worker_on
from .goods import FILLING, SHELF, TAKING, Fill, PiecesTaken, Take

TURNS_MAX = 20
HELD_UP_SECONDS_MAX = 10
"""The longest that the log is held up; a turn that waits for the log fails the test instead of hanging."""

errand = Saga("errand", input=int)
pause = Saga("pause", input=int)
picking = Saga("picking", input=int)
stay = Saga("stay", input=int)
trip = Saga("trip", input=int)


@errand.step(compensable=False)
def run(_: int, __: StepContext) -> None:
    """The test makes the attempts."""


@pause.step(compensable=False)
async def wait(_: int, __: StepContext) -> None:
    """For ever."""
    await asyncio.Event().wait()


@picking.step(name="ask")
def _ask(_: int, __: StepContext) -> None:
    """The test makes the attempts."""


@_ask.compensation
def _nothing_asked(_: int, __: None, ___: StepContext) -> None:
    """There is nothing to undo."""


@picking.local_step(compensable=False)
def pick(_: int, __: StepContext) -> list[Command]:
    return [Take("b", 1)]


stay.wait_for("word")


@trip.sub_saga(stay, name="rest")
def input_of_stay(number: int, _: StepContext) -> int:
    return number


@input_of_stay.compensation
def nothing(_: int, __: None, ___: StepContext) -> None:
    """There is nothing to undo."""


APP = App(sagas=[errand, pause, picking, stay, trip, FILLING, TAKING], participants=[SHELF])


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[Ledger]:
    with Ledger.open(postgres_url, APP, create=True) as ledger:
        yield ledger


@pytest.fixture
def elsewhere(ledger: Ledger) -> Iterator[Ledger]:
    """The same ledger, opened as by another process."""
    with Ledger.open(ledger.backend.url, APP) as elsewhere:
        yield elsewhere


@pytest.fixture
def engine(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine that looks for work in every turn."""
    monkeypatch.setattr(engines, "POLL_SECONDS", 0.0)
    engine = Engine(ledger.context, concurrency=10, lease_seconds=60.0)
    yield engine
    engine.finish()


@contextmanager
def held_up(ledger: Ledger) -> Iterator[None]:
    """Hold the head's lock meanwhile: every append waits for it."""
    with psycopg.connect(ledger.backend.url) as connection:
        connection.execute(f"SET idle_in_transaction_session_timeout = '{HELD_UP_SECONDS_MAX}s'")
        connection.execute("SELECT FROM head FOR UPDATE")
        yield
        connection.execute("SELECT")  # fails if the server ended this session after a long wait


def start(saga: Saga[object] | Saga[int], value: object, key: str) -> StartSaga:
    """Returns a message that starts a saga."""
    return StartSaga(SagaStart.of(saga.definition, value, key), Meta(), None)


def done(dispatch: Dispatch) -> AttemptEnded:
    """Returns a message that the attempt succeeded."""
    return AttemptEnded(dispatch.saga, dispatch.attempt, Success(Raw(b"null")))


def on_their_way(engine: Engine, *keys: str) -> list[Dispatch]:
    """Starts errands, and returns their attempts."""
    dispatched = engine.turn([start(errand, 1, key) for key in keys]).dispatch
    while len(dispatched) < len(keys):
        dispatched += drive(engine, lambda: False)
    return dispatched


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, without a turn of the engine."""
    deadline = monotonic() + HELD_UP_SECONDS_MAX
    while not condition():
        assert monotonic() < deadline, "waited too long"
        sleep(0.005)


def has_ended(ledger: Ledger, saga_id: str) -> bool:
    """Returns whether a saga was started and has ended."""
    return bool(ledger.backend.stream(saga_id)) and ledger.state(saga_id).end is not None


def test_all_that_becomes_ready_while_the_log_writes_goes_out_together(ledger: Ledger, engine: Engine) -> None:
    """Three outcomes arrive, the second and the third while the first is written: two append calls."""
    first, second, third, _ = on_their_way(engine, "1", "2", "3", "4")
    calls = len(ledger.backend.appends(0, limit=100))

    with held_up(ledger):
        for dispatch in (first, second, third):
            engine.turn([done(dispatch)])
        assert engine.pending is not None
        assert len(ledger.backend.appends(0, limit=100)) == calls

    drive(engine, lambda: all(has_ended(ledger, f"errand-{key}") for key in (1, 2, 3)))
    assert len(ledger.backend.appends(0, limit=100)) == calls + 2


@pytest.mark.parametrize("quietly", [False, True])
def test_what_was_drafted_on_events_that_were_not_written_is_decided_again(
    ledger: Ledger, elsewhere: Ledger, engine: Engine, quietly: bool
) -> None:
    """Another writer's event stands at the version of the first draft: the log alone would accept the second one."""
    on_their_way(engine, "1")
    drive(engine, lambda: bool(ledger.backend.stream("shelf-a")), [start(FILLING, [Fill("a", 10)], "1")])
    # given a shelf that another writer has emptied, and that holds ten in this worker's cache
    recorded = ledger.history("filling-1")[0].event
    emptied = elsewhere.context.codec.encode("shelf-a", 2, PiecesTaken(recorded.at, "a", 10))
    elsewhere.backend.append(AppendCall(uuid4(), [Append([emptied])]))

    # when one saga is sent, and two are drafted, one after the other, before the worker knows
    with held_up(ledger):
        for key in "234":
            engine.turn([start(TAKING, [Take("a", 3, quietly)], key)])
    drive(engine, lambda: all(has_ended(ledger, f"taking-{key}") for key in (2, 3, 4)))

    # then none of them takes anything
    assert {ledger.state(f"taking-{key}").status for key in (2, 3, 4)} == {Status.COMPENSATED}
    taken = [row for row in ledger.backend.stream("shelf-a") if row.topic == "PiecesTaken"]
    assert [row.version for row in taken] == [2]


def test_a_saga_that_somebody_else_started_before_its_draft_was_sent_is_driven(
    ledger: Ledger, elsewhere: Ledger, engine: Engine
) -> None:
    """It is claimed while its own start waits to be sent: it goes on though that start is answered as a duplicate."""
    first, _ = on_their_way(engine, "1", "2")
    with held_up(ledger):
        engine.turn([done(first)])
        engine.turn([start(errand, 1, "3")])
    elsewhere.start(errand, 1, key="3")

    [third] = drive(engine, lambda: False)
    drive(engine, lambda: has_ended(elsewhere, "errand-3"), [done(third)])


def test_a_saga_is_not_let_go_of_on_what_was_so_before(ledger: Ledger, elsewhere: Ledger, engine: Engine) -> None:
    """It is drafted to wait for its sub-saga and be released; it is cancelled before that draft is sent."""
    first, _ = on_their_way(engine, "1", "2")
    with held_up(ledger):
        engine.turn([start(trip, 1, "1")])
    wait_until(lambda: bool(elsewhere.backend.stream("trip-1")))
    with held_up(ledger):
        while engine.pending is None:
            engine.turn([])
    wait_until(lambda: bool(elsewhere.backend.stream("stay-trip-1.rest")))
    with held_up(ledger):
        engine.turn([done(first)])  # it learns that the stay exists, and sends the errand's outcome
        engine.turn([])  # so the trip may be released: that is drafted, and not sent
        assert engine.pending is not None
    elsewhere.cancel("trip-1", actor="ann", reason="no time")

    drive(engine, lambda: elsewhere.state("trip-1").status is Status.COMPENSATED)


def test_what_is_drafted_anew_finds_nothing_of_what_was_drafted_before(
    ledger: Ledger, elsewhere: Ledger, engine: Engine
) -> None:
    """Of three drafts on shared streams one is withdrawn: the others must not be sent beside new drafts there."""
    first, _ = on_their_way(engine, "1", "2")
    drive(engine, lambda: bool(ledger.backend.stream("shelf-b")), [start(FILLING, [Fill("a", 3), Fill("b", 9)], "1")])
    [picked] = drive(engine, lambda: False, [start(picking, 1, "1")])
    with held_up(ledger):
        engine.turn([done(first)])  # sent
        engine.turn([start(TAKING, [Take("a", 2)], "two")])
        engine.turn([start(TAKING, [Take("a", 1), Take("b", 1)], "both")])
        engine.turn([done(picked)])  # it takes from the second shelf: the latest draft
    elsewhere.cancel("picking-1", actor="ann", reason="no time")

    engine.turn([start(TAKING, [Take("a", 2)], "more")])
    while not all(has_ended(ledger, f"taking-{key}") for key in ("two", "both", "more")):
        engine.turn([])

    taken = [recorded.event for key in ("two", "both", "more") for recorded in ledger.history(f"taking-{key}")]
    assert sum(event.pieces for event in taken if isinstance(event, PiecesTaken) and event.shelf == "a") <= 3


def test_a_worker_that_ends_begins_nothing_that_it_has_only_drafted(ledger: Ledger, engine: Engine) -> None:
    """It would make no attempt for a drafted start, and the next worker would have to count one as made."""
    first, _ = on_their_way(engine, "1", "2")
    with held_up(ledger):
        engine.turn([done(first)])
        engine.turn([start(errand, 1, "3")])

    engine.finish()

    assert "StepStarted" not in [row.topic for row in ledger.backend.stream("errand-3")]
    assert has_ended(ledger, "errand-1")


@pytest.mark.parametrize("what", ["the same start again", "decisions that have to wait"])
def test_who_can_do_nothing_while_the_log_writes_waits(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It does not turn in a busy loop; and sagas that can be drafted are, though others before them cannot."""
    first, _ = on_their_way(engine, "1", "2")
    drive(engine, lambda: bool(ledger.backend.stream("shelf-a")), [start(FILLING, [Fill("a", 3)], "1")])
    monkeypatch.setattr(engines, "POLL_SECONDS", 60.0)
    with held_up(ledger):
        if what == "the same start again":
            engine.turn([done(first)])
            engine.turn([start(errand, 1, "5"), start(errand, 1, "5")])
        else:
            monkeypatch.setattr(pipeline, "BATCH_SAGAS_WHOLE", 1)  # so that there is room for few
            engine.turn([start(TAKING, [Take("a", 3)], "all")])
            refused = [start(TAKING, [Take("a", 1, quietly=True)], key) for key in ("some", "more", "most", "last")]
            engine.turn([*refused, start(errand, 1, "5"), start(errand, 1, "6")])
        for _ in range(TURNS_MAX):
            if engine.seconds_to_wait() > 0:
                break
            engine.turn([])
        else:
            raise AssertionError("it never waits")
        assert engine.pending is not None

    while not (ledger.backend.stream("errand-5") and engine.pending is None):
        engine.turn([])


def test_who_waits_too_long_for_the_log_keeps_no_lease(
    ledger: Ledger, elsewhere: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection may be dead: after a second it stops renewing the lease, so that others can take over."""
    monkeypatch.setattr(pipeline, "GO_ON_SECONDS_MAX", 0.1)

    def lease_is_over() -> bool:
        [worker] = elsewhere.backend.workers()
        return worker.lease_until < datetime.now(UTC)

    async def scene() -> None:
        async with worker_on(ledger, lease_seconds=0.5, drain_seconds=0.0) as worker:
            await worker.start(pause, 1, key="1")  # the worker holds a saga that may become ready at any moment
            with held_up(ledger):
                sent = asyncio.ensure_future(worker.start(errand, 1, key="2"))
                await until(lease_is_over)
            await sent
            assert (await worker.outcome("errand-2")).status is Status.COMPLETED

    play(scene())
