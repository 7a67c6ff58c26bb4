"""Bad neighbours: whatever one saga, step, request, event or signal does, twenty others end in time.

Each bad neighbour is as bad as it can be. It fails, needs a person, or is left to workers that can read it; it ends no
worker, and delays no other saga.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event as ThreadEvent
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from msgspec import Raw
from msgspec.structs import replace

from sagaledger.domain.errors import InvalidInput
from sagaledger.domain.event import Event, event
from sagaledger.domain.participant import Command, Participant
from sagaledger.domain.saga.events import SagaStarted, SignalReceived
from sagaledger.domain.saga.payload import PAYLOAD_BYTES_MAX
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState, Status
from sagaledger.infrastructure.errors import SagaNotFound
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall
from sagaledger.infrastructure.event_store.codec import UnreadableEvent
from sagaledger.infrastructure.event_store.event_row import STATE_BYTES_MAX
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.put_back_sagas import put_back_sagas
from sagaledger.infrastructure.ledger.saga_overview import SagaOverview, saga_overview

from .conftest import OpenLedger, play, short_history, until, worker_on

GOOD = 20
SECONDS_MAX = 15.0
ONCE = Retry(attempts=1)


class _Odd(BaseException):
    """An exception of no known kind, whose text ends the program."""

    def __str__(self) -> str:
        raise SystemExit(3)


class _Mute(Exception):
    def __str__(self) -> str:
        return 402  # type: ignore[return-value]  # noqa: PLE0307 -- what makes it bad


class _MuteTimeout(TimeoutError):
    def __str__(self) -> str:
        raise ValueError("no text")


class _Closed(Exception):
    """An exception that lets nobody read any of its attributes, not even its class."""

    def __getattribute__(self, name: str) -> Any:
        raise ValueError(name)


ERRORS: dict[str, Callable[[], BaseException]] = {
    "SystemExit": lambda: SystemExit(1),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration,
    "RecursionError": RecursionError,
    "MemoryError": MemoryError,
    "odd": _Odd,
    "mute": _Mute,
    "mute timeout": _MuteTimeout,
    "closed": _Closed,
    "NUL": lambda: ValueError("a\0b"),
    "surrogate": lambda: ValueError("\ud800"),
    "long": lambda: ValueError("x" * 10_000_000),
    "ZeroDivisionError": ZeroDivisionError,
}


@event("BadNeighbourNoted")
class Noted(Event, frozen=True):
    """A participant was told something."""

    what: str


class Note(Command, frozen=True):
    """Tell a participant something."""

    key: str
    what: str = "well"


@dataclass
class Conduct:
    """What the code of the app raises at present, by where; nothing by default."""

    raises: dict[str, BaseException] = field(default_factory=dict)

    def at(self, place: str, what: object = "bad") -> None:
        if what == "bad" and place in self.raises:
            raise self.raises[place]


def _participant(conduct: Conduct) -> Participant[int]:
    def key(note: Note) -> str:
        conduct.at("key", note.what)
        return note.key

    def decide(_: int, note: Note, at: datetime) -> Sequence[Event]:
        conduct.at("decide", note.what)
        return [Noted(at, note.what)]

    def evolve(count: int, noted: Event) -> int:
        assert isinstance(noted, Noted)
        conduct.at("evolve", noted.what)
        return count + 1

    return Participant(
        "notes", initial=0, state_type=int, events=[Noted], commands={Note: key}, decide=decide, evolve=evolve
    )


def _good() -> Saga[int]:
    saga = Saga("good", input=int)

    @saga.step(compensable=False)
    async def first(_: int, __: Any) -> int:
        return 1

    @saga.local_step(compensable=False)
    def second(number: int, _: Any) -> Sequence[Command]:
        return [Note(f"shared-{number % 3}")]

    @saga.step(compensable=False)
    def third(_: int, __: Any) -> None: ...

    return saga


GOOD_SAGA = _good()


def _open_app() -> App:
    return App(sagas=[GOOD_SAGA], participants=[_participant(Conduct())])


def _open(open_ledger: OpenLedger, *sagas: Saga[Any], conduct: Conduct | None = None, **parts: Any) -> Ledger:
    return open_ledger(App(sagas=[GOOD_SAGA, *sagas], participants=[_participant(conduct or Conduct())], **parts))


async def _good_ones_end(worker: Any) -> None:
    """Start twenty good sagas through a worker, and wait for their ends."""
    async with asyncio.timeout(SECONDS_MAX):
        started = [await worker.start(GOOD_SAGA, number, key=str(uuid4())) for number in range(GOOD)]
        states = [await worker.outcome(each.saga_id) for each in started]
    assert {state.status for state in states} == {Status.COMPLETED}


def _beside(ledger: Ledger, *saga_ids: str, **settings: Any) -> list[SagaState]:
    """Let a worker drive bad sagas beside good ones, before and after; returns the bad ones' last states."""

    async def scene() -> list[SagaState]:
        async with worker_on(ledger, drain_seconds=1.0, **settings) as worker:
            await _good_ones_end(worker)
            async with asyncio.timeout(SECONDS_MAX):
                states = [await worker.outcome(saga_id) for saga_id in saga_ids]
            await _good_ones_end(worker)
            return states

    return play(scene())


# Steps


@pytest.mark.parametrize("how", ["async", "sync", "local", "sub_saga", "on_completed"])
def test_a_step_that_raises_fails_alone(sqlite_url: str, how: str) -> None:
    """Whatever it raises, wherever it runs: its saga is compensated or needs a person."""
    saga = Saga("bad", input=str)

    def misbehave(error: str, *_: Any) -> Any:
        raise ERRORS[error]()  # noqa: RSE102 -- a factory, not a class

    async def misbehave_later(error: str, *_: Any) -> Any:
        misbehave(error)

    match how:
        case "async":
            saga.step(name="go", compensable=False, retry=ONCE)(misbehave_later)
        case "sync":
            saga.step(name="go", compensable=False, retry=ONCE)(misbehave)
        case "local":
            saga.local_step(name="go", compensable=False, retry=ONCE)(misbehave)
        case "sub_saga":
            saga.sub_saga(GOOD_SAGA, name="go", compensable=False)(misbehave)
        case "on_completed":
            saga.step(name="go", compensable=False)(lambda _, __: None)
            saga.on_completed(misbehave)
    with Ledger.open(sqlite_url, App(sagas=[GOOD_SAGA, saga], participants=[_participant(Conduct())])) as ledger:
        for number, error in enumerate(ERRORS):
            ledger.start(saga, error, key=str(number))
        statuses = [state.status for state in _beside(ledger, *(f"bad-{number}" for number in range(len(ERRORS))))]

    expected = Status.NEEDS_INTERVENTION if how == "on_completed" else Status.COMPENSATED
    assert dict(zip(ERRORS, statuses, strict=True)) == dict.fromkeys(ERRORS, expected)


def test_a_start_whose_hook_raises_is_refused_alone(open_ledger: OpenLedger) -> None:
    """`on_started` is code of the app as well: only the caller who started that saga hears of it."""
    saga = Saga("bad", input=dict)
    saga.step(name="go", compensable=False)(lambda _, __: None)

    @saga.on_started
    def refuse(_: dict[str, Any]) -> Sequence[Command]:
        sys.exit("no")

    ledger = _open(open_ledger, saga)

    async def scene() -> None:
        async with worker_on(ledger) as worker:
            with pytest.raises(RuntimeError, match="SystemExit"):
                await worker.start(saga, {}, key="1")
            await _good_ones_end(worker)

    play(scene())


def test_functions_that_never_return_fail_steps_once_no_thread_is_left(open_ledger: OpenLedger) -> None:
    """With every thread taken for longer than a step may take, the step is not called, and fails; others go on."""
    release = ThreadEvent()
    stuck = Saga("stuck", input=dict)
    stuck.step(name="go", compensable=False, retry=ONCE, timeout=0.2)(lambda _, __: release.wait(60))
    late = Saga("late", input=dict)
    late.step(name="go", compensable=False, retry=ONCE, timeout=0.2)(lambda _, __: None)
    ledger = open_ledger(App(sagas=[stuck, late]))

    async def scene() -> tuple[SagaState, SagaState]:
        async with worker_on(ledger, threads=2, drain_seconds=0.1) as worker:
            for number in range(2):
                state = await worker.outcome((await worker.start(stuck, {}, key=str(number))).saga_id)
                assert state.steps["go"].forward.error is not None
                assert state.steps["go"].forward.error.type == "AttemptTimedOut"
            refused = await worker.outcome((await worker.start(late, {}, key="1")).saga_id)
            release.set()
            await asyncio.sleep(0.3)
            return refused, await worker.outcome((await worker.start(late, {}, key="2")).saga_id)

    refused, called = play(scene())
    error = refused.steps["go"].forward.error
    assert error is not None
    assert error.type == "NoThreadFree"
    assert "all 2 run steps, 2 of which have outlived their timeout" in error.message
    assert not refused.steps["go"].forward.possibly_executed
    assert called.status is Status.COMPLETED


# Keys, and values that a database rejects

KEYS = {
    "NUL": "bo\0b",
    "long": "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(3_000)),
    "surrogate": "\ud800",
    "newline": "a\nb",
    "empty": "",
    "odd but fine": "a/b\u200d\u202e-%s'\"",
}


def test_a_key_that_no_database_stores_fails_its_step(open_ledger: OpenLedger) -> None:
    """Keys are checked before they are sent; what one backend stores, every backend does."""
    saga = Saga("bad", input=str)
    saga.local_step(name="go", compensable=False)(lambda key, _: [Note(KEYS[key])])
    ledger = _open(open_ledger, saga)
    for number, key in enumerate(KEYS):
        ledger.start(saga, key, key=str(number))

    states = _beside(ledger, *(f"bad-{number}" for number in range(len(KEYS))))

    completed = {key for key, state in zip(KEYS, states, strict=True) if state.status is Status.COMPLETED}
    assert completed == {"empty", "odd but fine"}
    failed = [state for state in states if state.status is Status.COMPENSATED]
    assert {state.steps["go"].forward.error.type for state in failed if state.steps["go"].forward.error} == {
        "InvalidInput"
    }


@pytest.mark.parametrize("key", ["NUL", "long", "surrogate"])
def test_a_value_that_nobody_foresaw_hits_its_saga_alone(
    open_ledger: OpenLedger, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the check the database rejects the whole batch: the one saga is found, and needs a person."""
    saga = Saga("bad", input=dict)
    saga.local_step(name="go", compensable=False)(lambda _, __: [Note("fine")])
    shared = Saga("shared", input=dict)
    shared.local_step(name="go", compensable=False)(lambda _, __: [Note("fine")])
    ledger = _open(open_ledger, saga, shared)
    if ledger.backend.url.startswith("sqlite") and key != "surrogate":
        pytest.skip("SQLite stores it")
    whole = AppendCall.__new__

    def spoil(append: Append) -> Append:
        if not any(new.stream_id == "bad-1" and new.version == 2 and "StepS" in new.topic for new in append.events):
            return append
        first, note, *rest = append.events
        return replace(append, events=[first, replace(note, stream_id=f"notes-{KEYS[key]}"), *rest])

    def new(cls: type[AppendCall], append_id: Any, appends: Sequence[Append], *rest: Any, **more: Any) -> AppendCall:
        return whole(cls, append_id, [spoil(append) for append in appends], *rest, **more)

    monkeypatch.setattr(AppendCall, "__new__", new)
    ledger.start(saga, {}, key="1")
    for number in range(5):
        ledger.start(shared, {}, key=str(number))

    bad, *others = _beside(ledger, "bad-1", *(f"shared-{number}" for number in range(5)))

    assert bad.status is Status.NEEDS_INTERVENTION
    assert [one.step for one in bad.interventions] == ["go"]
    assert {other.status for other in others} == {Status.COMPLETED}
    assert [row.version for row in ledger.backend.stream("notes-fine")] == [1, 2, 3, 4, 5]


# Events, and what folds them


@pytest.mark.parametrize("error", ["ZeroDivisionError", "odd"])
@pytest.mark.parametrize("place", ["key", "decide"])
def test_a_participant_that_raises_while_it_decides_fails_the_step(
    open_ledger: OpenLedger, place: str, error: str
) -> None:
    """Deciding is part of the local step."""
    saga = Saga("bad", input=dict)
    saga.local_step(name="go", compensable=False, retry=ONCE)(lambda _, __: [Note("mine", "bad")])
    ledger = _open(open_ledger, saga, conduct=Conduct({place: ERRORS[error]()}))
    ledger.start(saga, {}, key="1")

    assert _beside(ledger, "bad-1")[0].status is Status.COMPENSATED


@pytest.mark.parametrize("error", ["ZeroDivisionError", "odd"])
def test_a_stream_that_cannot_be_folded_parks_who_needs_it(open_ledger: OpenLedger, error: str) -> None:
    """`evolve` raises for a stored event: the saga asks for a person, and continues once the code is mended."""
    saga = Saga("bad", input=dict)
    saga.local_step(name="go", compensable=False, retry=ONCE)(lambda _, __: [Note("mine")])
    conduct = Conduct({"evolve": ERRORS[error]()})
    ledger = _open(open_ledger, saga, conduct=conduct)
    noted = ledger.context.codec.encode("notes-mine", 1, Noted(datetime.now(UTC), "bad"))
    ledger.backend.append(AppendCall(uuid4(), [Append([noted])]))
    ledger.start(saga, {}, key="1")

    [state] = _beside(ledger, "bad-1")

    assert state.status is Status.NEEDS_INTERVENTION
    assert "position 1, notes-mine version 1" in state.interventions[0].cause
    conduct.raises.clear()
    ledger.intervene("bad-1", "retry", actor="ann", reason="evolve is mended")
    assert _beside(ledger, "bad-1")[0].status is Status.COMPLETED


def test_what_a_worker_is_too_old_to_read_is_left_to_a_newer_one(open_ledger: OpenLedger) -> None:
    """An event that this worker does not know: it decides nothing, and a worker that knows it continues."""

    @event("BadNeighbourPainted")
    class Painted(Event, frozen=True):
        """Newer than the worker."""

    saga = Saga("bad", input=dict)
    saga.step(name="before", compensable=False)(lambda _, __: None)
    saga.local_step(name="go", compensable=False, retry=ONCE)(lambda _, __: [Note("mine")])
    older = _open(open_ledger, saga)
    participant = _participant(Conduct())
    participant.evolve = lambda count, _: count + 1
    newer = open_ledger(App(sagas=[GOOD_SAGA, saga], participants=[participant], events=[Painted]))
    painted = newer.context.codec.encode("notes-mine", 1, Painted(datetime.now(UTC)))
    newer.backend.append(AppendCall(uuid4(), [Append([painted])]))
    older.start(saga, {}, key="1")

    async def with_older() -> None:
        async with worker_on(older) as worker:
            await _good_ones_end(worker)
            with pytest.raises(UnreadableEvent, match="notes-mine version 1"):
                await worker.outcome("bad-1")
            await until(lambda: [row.worker_id for row in older.backend.entries()] == [None])
            await _good_ones_end(worker)
            assert older.state("bad-1").status is Status.RUNNING
            assert older.state("bad-1").steps["before"].forward.finished
            overview = saga_overview(older.context, "bad-1")
            assert isinstance(overview, SagaOverview)
            assert overview.put_back_until is not None
            assert [(each.saga_id, each.why) for each in put_back_sagas(older.context)] == [("bad-1", None)]

    play(with_older())
    assert _beside(newer, "bad-1")[0].status is Status.COMPLETED
    assert put_back_sagas(newer.context) == []


def test_a_saga_is_not_put_back_while_one_of_its_steps_runs(open_ledger: OpenLedger) -> None:
    """Its outcome would be lost, and the step made again: the worker records it first."""

    @event("BadNeighbourPolished")
    class Polished(Event, frozen=True):
        """Newer than the worker."""

    saga = Saga("bad", input=dict)
    answered, calls = asyncio.Event(), []

    @saga.step(after=(), compensable=False)
    async def call(_: Any, __: Any) -> None:
        calls.append("call")
        await answered.wait()

    saga.step(name="before", after=(), compensable=False)(lambda _, __: None)
    saga.local_step(name="go", after=("before",), compensable=False, retry=ONCE)(lambda _, __: [Note("mine")])
    older = _open(open_ledger, saga)
    participant = _participant(Conduct())
    participant.evolve = lambda count, _: count + 1
    newer = open_ledger(App(sagas=[GOOD_SAGA, saga], participants=[participant], events=[Polished]))
    polished = newer.context.codec.encode("notes-mine", 1, Polished(datetime.now(UTC)))
    newer.backend.append(AppendCall(uuid4(), [Append([polished])]))
    older.start(saga, {}, key="1")

    async def with_older() -> None:
        async with worker_on(older) as worker:
            await until(lambda: "before succeeded" in short_history(older, "bad-1"))
            await _good_ones_end(worker)
            answered.set()
            await until(lambda: "call succeeded" in short_history(older, "bad-1"))
            await until(lambda: [row.worker_id for row in older.backend.entries()] == [None])

    play(with_older())
    assert _beside(newer, "bad-1")[0].status is Status.COMPLETED
    assert calls == ["call"]


@pytest.mark.parametrize("error", ["AttributeError", "SystemExit"])
def test_an_upcaster_that_raises_concerns_its_stream(open_ledger: OpenLedger, error: str) -> None:
    """Upcasters run while a stream is read, on the engine's thread."""

    def raise_(_: dict[str, Any]) -> dict[str, Any]:
        raise {"AttributeError": AttributeError, "SystemExit": SystemExit}[error]

    @event("BadNeighbourOld", version=2, upcasters={1: raise_})
    class Old(Event, frozen=True):
        """An event of an older schema."""

    saga = Saga("bad", input=dict)
    saga.local_step(name="go", compensable=False, retry=ONCE)(lambda _, __: [Note("mine")])
    ledger = _open(open_ledger, saga, events=[Old])
    new = replace(ledger.context.codec.encode("notes-mine", 1, Old(datetime.now(UTC))), schema_version=1)
    ledger.backend.append(AppendCall(uuid4(), [Append([new])]))
    ledger.start(saga, {}, key="1")

    assert _beside(ledger, "bad-1")[0].status is Status.NEEDS_INTERVENTION


def test_a_saga_whose_own_events_cannot_be_read_is_put_back(open_ledger: OpenLedger) -> None:
    """Nothing can be recorded for it: its queue entry is free for other workers, and it does not come back at once."""
    ledger = _open(open_ledger)
    ledger.start(GOOD_SAGA, 1, key="broken")
    started = ledger.history("good-broken")[0].event
    bad = replace(ledger.context.codec.encode("good-broken", 2, started), topic="Nonsense")
    ledger.backend.append(AppendCall(uuid4(), [Append([bad])]))

    async def scene() -> None:
        async with worker_on(ledger) as worker:
            with pytest.raises(UnreadableEvent):
                await worker.outcome("good-broken")
            await until(lambda: [row.worker_id for row in ledger.backend.entries()] == [None])
            await _good_ones_end(worker)
            [put_back] = put_back_sagas(ledger.context)
            assert put_back.saga_id == "good-broken"
            assert "good-broken version 2: " in (put_back.why or "")

    play(scene())
    [entry] = ledger.backend.entries()
    assert entry.due_at is not None
    assert entry.saga_id == "good-broken"


# Signals


def test_a_payload_that_does_not_fit_as_a_result_asks_for_a_person(open_ledger: OpenLedger) -> None:
    """The signal fits into an event, and the result with it does not: the waiting step needs a person."""
    saga = Saga("bad", input=dict)
    saga.wait_for("go")
    ledger = _open(open_ledger, saga)
    ledger.start(saga, {}, key="1")
    empty = SignalReceived(datetime.now(UTC), "go", Raw(b'""'), "ann")
    room = min(PAYLOAD_BYTES_MAX - 2, STATE_BYTES_MAX - len(ledger.context.codec.encode("bad-1", 2, empty).state) - 10)

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            await until(lambda: ledger.state("bad-1").status is Status.WAITING)
            await asyncio.to_thread(ledger.signal, "bad-1", "go", "x" * room, actor="ann")
            await _good_ones_end(worker)
            return await worker.outcome("bad-1")

    state = play(scene())

    if state.status is not Status.COMPLETED:
        assert [one.step for one in state.interventions] == ["go"]
        ledger.intervene("bad-1", "resolve", result=1, actor="ann", reason="kept elsewhere")
        assert _beside(ledger, "bad-1")[0].status is Status.COMPLETED


# Requests

REQUESTS = {
    "input that is no JSON": {"input": b"\xff{"},
    "input of another type": {"input": b'"a"'},
    "id of another saga": {"saga_id": "notes-mine"},
    "id without a key": {"saga_id": "good-"},
    "id with a newline": {"saga_id": "good-a\nb"},
    "id that is too long": {"saga_id": "good-" + "".join(chr(0x4E00 + number) for number in range(3_000))},
    "before the calendar": {"begins_at": "0001-01-01 00:00:00+14:00"},
    "after the calendar": {"begins_at": "9999-12-31 23:59:59-12:00"},
    "infinity": {"begins_at": "infinity"},
    "minus infinity": {"begins_at": "-infinity"},
    "requested at infinity": {"requested_at": "infinity"},
    "another fingerprint": {"fingerprint": "0" * 16},
}


def test_a_bad_request_is_put_aside(postgres_url: str) -> None:
    """Any program may write a row: what cannot be started is refused with a reason, and a good one is started."""
    definition = GOOD_SAGA.definition
    good: dict[str, Any] = {
        "saga_id": "good-requested",
        "definition": definition.name,
        "definition_version": definition.version,
        "fingerprint": definition.fingerprint,
        "input": b"1",
    }
    with Ledger.open(postgres_url, _open_app(), create=True) as ledger:
        with psycopg.connect(postgres_url) as connection:
            for number, bad in enumerate((*REQUESTS.values(), {})):
                row = {**good, "saga_id": f"good-requested-{number}"} | bad
                columns = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, row))
                places = psycopg.sql.SQL(", ").join(psycopg.sql.Placeholder() * len(row))
                insert = psycopg.sql.SQL("INSERT INTO requests ({}) VALUES ({})").format(columns, places)
                connection.execute(insert, list(row.values()))
        requests = ledger.backend.start_requests
        assert requests is not None

        async def scene() -> SagaState:
            async with worker_on(ledger) as worker:
                await _good_ones_end(worker)
                await until(lambda: all(found.reason for found in requests.listed(limit=99)))
                return await worker.outcome(f"good-requested-{len(REQUESTS)}")

        assert play(scene()).status is Status.COMPLETED
        refused = {found.saga_id for found in requests.listed(limit=99)}
        assert len(refused) == len(REQUESTS)
        assert not any(ledger.backend.stream(saga_id) for saga_id in refused)


# Callers


def test_a_caller_that_asks_for_an_odd_id_hears_that_there_is_none(open_ledger: OpenLedger) -> None:
    """An id that no database stores is the id of no saga."""
    ledger = _open(open_ledger)

    async def scene() -> None:
        async with worker_on(ledger) as worker:
            for key in ("\0", "\ud800", "\u4e00" * 3_000):
                with pytest.raises(SagaNotFound):
                    await worker.outcome(f"good-{key}")
            await _good_ones_end(worker)

    play(scene())


def test_an_actor_that_cannot_be_written_refuses_its_start(open_ledger: OpenLedger) -> None:
    """What a caller hands over concerns that caller."""
    ledger = _open(open_ledger)

    async def scene() -> None:
        async with worker_on(ledger) as worker:
            for actor in ("\ud800", 5, b"ann", ["ann"]):
                with pytest.raises(InvalidInput, match="the actor"):
                    await worker.start(GOOD_SAGA, 1, key="1", actor=actor)  # type: ignore[arg-type]
            await _good_ones_end(worker)

    play(scene())
    assert not any(isinstance(each.event, SagaStarted) for each in _events(ledger, "good-1"))


def _events(ledger: Ledger, stream_id: str) -> Sequence[Any]:
    return [ledger.context.codec.decode(row) for row in ledger.backend.stream(stream_id)]
