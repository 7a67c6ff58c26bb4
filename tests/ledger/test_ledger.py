"""The ledger from outside a worker: starting, auditing, waiting for and operating sagas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest

from sagaledger.domain.errors import InvalidInput, PayloadTooLarge
from sagaledger.domain.saga.evolve import rebuild
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.errors import (
    NotALedger,
    SagaConflict,
    SagaNotFound,
    TimedOut,
    Unavailable,
    UnknownDefinition,
    WrongState,
)
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.worker import Worker

from .trip import Trip, trip

ROME = Trip("Rome", 4)


def _work(ledger: Ledger) -> None:
    """Let a worker do all there is to do."""

    async def work() -> None:
        async with Worker(ledger, project=False) as worker:
            await worker.idle()

    asyncio.run(work())


# Starting


def test_a_saga_is_started_once(ledger: Ledger) -> None:
    """The same key with the same input is the same saga, whatever the order of the input's fields."""
    first = ledger.start(trip, ROME)
    again = ledger.start("trip", {"seats": 4, "place": "Rome"})

    assert (first.saga_id, first.created) == ("trip-Rome.4", True)
    assert again == first._replace(created=False)
    assert ledger.backend.head().position == 1


def test_the_same_key_with_another_input_is_a_conflict(ledger: Ledger) -> None:
    """The message says which saga, since when, and what to do."""
    ledger.start(trip, ROME, key="1")

    with pytest.raises(SagaConflict, match=r"saga 'trip-1' was started with another input .* use another key"):
        ledger.start(trip, Trip("Paris", 4), key="1")


@pytest.mark.parametrize(
    ("start", "error", "words"),
    [
        (lambda ledger: ledger.start(trip, {"place": "Rome"}), InvalidInput, "seats"),
        (lambda ledger: ledger.start(trip, {"place": 1, "seats": 2}), InvalidInput, "place"),
        (lambda ledger: ledger.start(trip, object()), InvalidInput, "does not fit"),
        (lambda ledger: ledger.start(trip, ROME, key=""), InvalidInput, "key"),
        (lambda ledger: ledger.start(trip, ROME, key="a\nb"), InvalidInput, "printable"),
        (lambda ledger: ledger.start(trip, Trip("R" * 300_000, 1), key="1"), PayloadTooLarge, "300,"),
        (lambda ledger: ledger.start("tripp", ROME), UnknownDefinition, r"no saga 'tripp' .* it has trip"),
        (lambda ledger: ledger.start("trip", ROME, version=2), UnknownDefinition, r"it has \[1\]"),
    ],
)
def test_a_bad_start_says_what_is_wrong_and_leaves_nothing(
    ledger: Ledger, start: Callable[[Ledger], Any], error: type[Exception], words: str
) -> None:
    """Each error names the thing, and nothing of the saga is there."""
    with pytest.raises(error, match=words):
        start(ledger)

    assert ledger.backend.head().position == 0
    assert ledger.backend.entries() == []


def test_a_saga_without_a_key_gets_one(ledger: Ledger) -> None:
    """A definition that names no business key may be started any number of times."""
    saga = Saga("nameless", input=int)
    saga.step(name="only", compensable=False)(lambda _, __: None)

    assert ledger.start(saga, 1).saga_id != ledger.start(saga, 1).saga_id


# Auditing


def test_a_history_tells_all_that_belongs_to_a_saga(ledger: Ledger) -> None:
    """Its own facts and its participants', in the order of the log; or its own alone."""
    started = ledger.start(trip, ROME, actor="ann")
    ledger.start(trip, Trip("Paris", 2))
    _work(ledger)

    everything = ledger.history(started.saga_id)
    own = ledger.history(started.saga_id, participants=False)

    positions = [recorded.position for recorded in everything]
    assert positions == sorted(positions)
    assert {recorded.stream_id for recorded in everything} == {"trip-Rome.4", "train-Rome"}
    assert {recorded.correlation_id for recorded in everything} == {"trip-Rome.4"}
    assert [recorded for recorded in everything if recorded.stream_id == "trip-Rome.4"] == own
    assert everything[0].meta.actor == "ann"
    assert all(recorded.meta.worker for recorded in everything[1:])
    assert [r.causation_position for r in everything[1:]] == sorted(r.causation_position or 0 for r in everything[1:])


def test_a_state_can_be_seen_as_it_was(ledger: Ledger) -> None:
    """At each version, and at the time of each fact, it is the fold of the facts until then."""
    saga_id = ledger.start(trip, ROME).saga_id
    _work(ledger)
    own = ledger.history(saga_id, participants=False)

    for recorded in own:
        until_then = rebuild(saga_id, (r.event for r in own if r.version <= recorded.version))
        at_that_time = rebuild(saga_id, (r.event for r in own if r.recorded_at <= recorded.recorded_at))
        assert ledger.state(saga_id, f"v{recorded.version}") == until_then
        assert ledger.state(saga_id, recorded.recorded_at) == at_that_time
    assert ledger.state(saga_id).status is Status.COMPLETED
    with pytest.raises(SagaNotFound, match="it began at"):
        ledger.state(saga_id, own[0].recorded_at - timedelta(microseconds=1))


@pytest.mark.parametrize("saga_id", ["trip-Nowhere", "train-Rome", ""])
def test_what_is_no_saga_is_not_found(ledger: Ledger, saga_id: str) -> None:
    """An unknown id, and a participant's stream, in every question alike."""
    ledger.start(trip, ROME)
    _work(ledger)
    asks: list[Callable[[], object]] = [
        lambda: ledger.history(saga_id, participants=False),
        lambda: ledger.state(saga_id),
        lambda: ledger.wait(saga_id, 1.0),
        lambda: ledger.cancel(saga_id, actor="ann", reason="no"),
        lambda: ledger.intervene(saga_id, "retry", actor="ann", reason="no"),
    ]
    for ask in asks:
        with pytest.raises(SagaNotFound, match="sagaledger list"):
            ask()


# Waiting


def test_a_wait_ends_with_the_saga(ledger: Ledger, url: str) -> None:
    """Though another process works it; and not before its time, if it goes on."""
    saga_id = ledger.start(trip, ROME).saga_id

    with pytest.raises(TimedOut, match="still running after 0"):
        ledger.wait(saga_id, 0.05)

    with Ledger.open(url, ledger.app) as elsewhere:
        worker = Thread(target=_work, args=(elsewhere,))
        worker.start()
        assert ledger.wait(saga_id, 30.0).status is Status.COMPLETED
        worker.join()
    assert ledger.wait(saga_id, 0.0).status is Status.COMPLETED


# Operating


def test_a_saga_is_cancelled_before_a_worker_ever_saw_it(ledger: Ledger) -> None:
    """The request is a fact with its actor and reason; nothing happened, so nothing is undone."""
    saga_id = ledger.start(trip, ROME).saga_id

    position = ledger.cancel(saga_id, actor="ann", reason="changed her mind")
    _work(ledger)

    cancelled = next(r for r in ledger.history(saga_id) if r.position == position)
    assert (cancelled.event.actor, cancelled.event.reason, cancelled.meta.actor) == ("ann", "changed her mind", "ann")  # type: ignore[attr-defined]
    assert [type(r.event).schema.name for r in ledger.history(saga_id)] == [
        "SagaStarted", "CancelRequested", "SagaCompensated",
    ]  # fmt: skip


def test_what_cannot_be_done_to_a_saga_is_refused(ledger: Ledger) -> None:
    """A saga that turns back or is over cannot be cancelled, one that waits for nobody cannot be helped."""
    saga_id = ledger.start(trip, ROME).saga_id
    with pytest.raises(WrongState, match="does not wait for a person: it is running"):
        ledger.intervene(saga_id, "skip", actor="ann", reason="no")
    ledger.cancel(saga_id, actor="ann", reason="no")
    with pytest.raises(WrongState, match="already turning back"):
        ledger.cancel(saga_id, actor="ann", reason="no")
    _work(ledger)
    with pytest.raises(WrongState, match="it is compensated"):
        ledger.cancel(saga_id, actor="ann", reason="no")
    with pytest.raises(ValueError, match="shrug"):
        ledger.intervene(saga_id, "shrug", actor="ann", reason="no")


# Opening


def test_a_ledger_that_cannot_be_opened_says_why(tmp_path: Any) -> None:
    """A folder, a missing folder, another database, no database."""
    (tmp_path / "notes.txt").write_text("This is not a database, and long enough to be taken for none." * 20)
    for url, error in [
        (f"sqlite:///{tmp_path}", NotALedger),
        (f"sqlite:///{tmp_path}/nowhere/ledger.db", Unavailable),
        (f"sqlite:///{tmp_path}/notes.txt", NotALedger),
        ("postgresql://nobody@127.0.0.1:1/nothing", Unavailable),
        ("redis://localhost", Unavailable),
    ]:
        with pytest.raises(error):
            Ledger.open(url)
