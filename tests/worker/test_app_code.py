"""Code of an app that no one foresaw: it concerns its own saga, and the worker goes on with the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from msgspec import Raw

from sagaledger import App, Command, Event, Ledger, Participant, Saga, Status, StepContext, StepRejected, event
from sagaledger.domain.errors import SagaledgerError
from sagaledger.domain.recorded_event import Meta
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.state import SagaState
from sagaledger.infrastructure.errors import SagaConflict
from sagaledger.infrastructure.ledger.saga_start import SagaStart
from sagaledger.infrastructure.ledger.stream_cache import SNAPSHOT_EVERY_EVENTS
from sagaledger.infrastructure.worker import Worker
from sagaledger.infrastructure.worker.messages import StartSaga

from .conftest import OpenLedger, play, worker_on

GOOD: Saga[int] = Saga("good", input=int)
GOOD.step(name="go", compensable=False)(lambda *_: None)

RAISED: list[BaseException] = [
    ZeroDivisionError(),
    SystemExit(2),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
]


@event("AppCodeNoted")
class Noted(Event, frozen=True):
    """A participant was told something."""

    count: int = 1


class Note(Command, frozen=True):
    """Tell a participant something."""

    key: str
    count: int = 1


def _notes(**changes: Any) -> Participant[Any]:
    parts: dict[str, Any] = {
        "initial": 0,
        "state_type": int,
        "events": [Noted],
        "commands": {Note: lambda note: note.key},
        "decide": lambda _, note, at: [Noted(at, note.count)],
        "evolve": lambda total, noted: total + noted.count,
    }
    return Participant("notes", **{**parts, **changes})


async def _good_one_ends(worker: Worker) -> None:
    async with asyncio.timeout(15):
        started = await worker.start(GOOD, 1, key=str(uuid4()))
        assert (await worker.outcome(started.saga_id)).status is Status.COMPLETED


# Commands that go elsewhere each time they are asked for


def _random_note(*_: Any) -> Sequence[Command]:
    return [Note(str(uuid4()))]


def _in_a_step(saga: Saga[Any]) -> None:
    saga.local_step(name="go", compensable=False, retry=Retry(attempts=1))(_random_note)


def _at_the_end(saga: Saga[Any]) -> None:
    saga.step(name="go", compensable=False)(lambda *_: None)
    saga.on_completed(_random_note)


@pytest.mark.parametrize(
    ("declare", "status"), [(_in_a_step, Status.COMPENSATED), (_at_the_end, Status.NEEDS_INTERVENTION)]
)
def test_commands_with_random_keys_concern_their_saga(
    open_ledger: OpenLedger, declare: Callable[[Saga[Any]], None], status: Status
) -> None:
    """Their streams can never be read before they are decided on."""
    saga = Saga("bad", input=int)
    declare(saga)
    ledger = open_ledger(App(sagas=[GOOD, saga], participants=[_notes()]))

    async def scene() -> Status:
        async with worker_on(ledger) as worker:
            started = await worker.start(saga, 1, key="1")
            state = await worker.outcome(started.saga_id)
            await _good_one_ends(worker)
            return state.status

    assert play(scene()) is status


def test_a_participant_with_random_keys_concerns_its_saga(open_ledger: OpenLedger) -> None:
    """A start that cannot be decided is refused; a step fails."""
    saga = Saga("bad", input=int)
    saga.local_step(name="go", compensable=False, retry=Retry(attempts=1))(lambda *_: [Note("a")])
    begins = Saga("begins", input=int)
    begins.step(name="go", compensable=False)(lambda *_: None)
    begins.on_started(lambda _: [Note("a")])
    participant = _notes(commands={Note: lambda _: str(uuid4())})
    ledger = open_ledger(App(sagas=[GOOD, saga, begins], participants=[participant]))

    async def scene() -> Status:
        async with worker_on(ledger) as worker:
            with pytest.raises(Exception, match="derive the keys of commands from the input"):
                await worker.start(begins, 1, key="1")
            started = await worker.start(saga, 1, key="1")
            state = await worker.outcome(started.saga_id)
            await _good_one_ends(worker)
            return state.status

    assert play(scene()) is Status.COMPENSATED


# Types of the app, whose code runs while they are read

_raises: list[BaseException] = []


class Parcel(msgspec.Struct):
    """An input whose code may raise."""

    tags: set[str] = set()

    def __post_init__(self) -> None:
        if _raises:
            raise _raises[0]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_an_input_that_raises_when_it_is_compared_concerns_its_start(
    open_ledger: OpenLedger, error: BaseException
) -> None:
    """The same saga is started again: the engine reads both inputs, on its own thread."""
    saga = Saga("parcel", input=Parcel)
    saga.step(name="go", compensable=False)(lambda *_: None)
    ledger = open_ledger(App(sagas=[GOOD, saga]))

    async def scene() -> None:
        async with worker_on(ledger) as worker:
            await worker.outcome((await worker.start(saga, Parcel({"a"}), key="1")).saga_id)
            again = SagaStart.of(saga.definition, Parcel({"a"}), "1")._replace(input=Raw(b'{"tags": ["b"]}'))
            _raises.append(error)
            try:
                with pytest.raises(SagaConflict if isinstance(error, Exception) else RuntimeError):
                    await worker._ask(lambda reply: StartSaga(again, Meta(), reply))
            finally:
                _raises.clear()
            await _good_one_ends(worker)

    play(scene())


class Counted(msgspec.Struct):
    """A state whose code may raise."""

    total: int = 0

    def __post_init__(self) -> None:
        if _raises:
            raise _raises.pop()


def _counted(state: Counted, noted: Event) -> Counted:
    assert isinstance(noted, Noted)
    return Counted(state.total + noted.count)


def _many(_: Any, note: Note, at: datetime) -> Sequence[Event]:
    return [Noted(at) for _ in range(note.count)]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_a_snapshot_that_raises_when_it_is_read_is_ignored(open_ledger: OpenLedger, error: BaseException) -> None:
    """The stream is folded from its first event instead."""
    saga = Saga("bad", input=int)
    saga.local_step(name="go", compensable=False)(lambda count, _: [Note("a", count)])
    participant = _notes(initial=Counted(), state_type=Counted, decide=_many, evolve=_counted)
    app = App(sagas=[GOOD, saga], participants=[participant])

    async def scene(count: int) -> Status:
        async with worker_on(open_ledger(app)) as worker:
            state = await worker.outcome((await worker.start(saga, count, key=str(count))).saga_id)
            await _good_one_ends(worker)
            return state.status

    assert play(scene(SNAPSHOT_EVERY_EVENTS + 1)) is Status.COMPLETED
    _raises.append(error)
    try:
        assert play(scene(1)) is Status.COMPLETED
        assert _raises == []  # the snapshot was read
    finally:
        _raises.clear()


# Errors whose own code raises


def _odd(base: type[BaseException], raised: BaseException) -> BaseException:
    """An error of which nothing can be shown."""

    class Odd(base):  # type: ignore[valid-type, misc]
        def __str__(self) -> str:
            raise raised

        __repr__ = __str__

        @property
        def __notes__(self) -> list[str]:
            raise raised

    return Odd()


@pytest.mark.parametrize("base", [ValueError, TimeoutError, StepRejected, OSError, BaseException, SagaledgerError])
@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), RuntimeError()], ids=repr)
def test_an_error_that_cannot_be_shown_is_recorded_wherever_it_is_raised(
    sqlite_url: str, base: type[BaseException], raised: BaseException
) -> None:
    """By steps of each kind, by their participants, and where a recorded event is folded."""
    places: list[str] = []

    def odd(place: str) -> None:
        if place in places:
            raise _odd(base, raised)

    def step(place: str, *_: Any) -> Sequence[Command]:
        odd(place)
        return [Note("a")]

    async def step_later(place: str, *_: Any) -> None:
        odd(place)

    def evolve(total: int, _: Event) -> int:
        odd("fold")
        return total + 1

    once = Retry(attempts=1)
    sagas = [GOOD]
    for name in ("async", "sync", "local", "evolve"):
        saga = Saga(name, input=int)
        sagas.append(saga)
        if name == "async":
            saga.step(name="go", compensable=False, retry=once, timeout=5)(partial(step_later, name))
        elif name == "sync":
            saga.step(name="go", compensable=False, retry=once, timeout=5)(partial(step, name))
        else:
            saga.local_step(name="go", compensable=False, retry=once)(partial(step, name))

    async def scene() -> list[Status]:
        with Ledger.open(sqlite_url, App(sagas=sagas, participants=[_notes(evolve=evolve)]), create=True) as ledger:
            async with worker_on(ledger) as worker:
                await worker.outcome((await worker.start("evolve", 1, key="0")).saga_id)
            async with worker_on(ledger) as worker:  # it has to read the participant's stream
                places.extend(["async", "sync", "local", "fold"])
                started = [await worker.start(saga, 1, key="1") for saga in sagas[1:]]
                states = [await worker.outcome(each.saga_id) for each in started]
                await _good_one_ends(worker)
                return [state.status for state in states]

    assert play(scene()) == [Status.COMPENSATED] * 3 + [Status.NEEDS_INTERVENTION]


# Code that changes what it is given


@dataclass
class Tally:
    """A state that can be changed in place."""

    total: int = 0
    seen: list[int] = field(default_factory=list)


def _change(tally: Tally, noted: Event) -> Tally:
    assert isinstance(noted, Noted)
    tally.total += noted.count
    tally.seen.append(noted.count)
    return tally


def _decide_and_change(tally: Tally, note: Note, at: datetime) -> Sequence[Event]:
    tally.total += 1_000
    if sum(tally.seen) != tally.total - 1_000:
        raise StepRejected("its state is not what its events make")
    tally.seen.append(1_000)
    return [Noted(at, note.count), Noted(at, note.count)]


def test_a_participant_that_changes_its_state_in_place_decides_on_what_was_recorded(open_ledger: OpenLedger) -> None:
    """The states of streams are apart, and after a conflict the one before is still what it was."""
    saga = Saga("count", input=list[str])
    saga.local_step(name="go", compensable=False)(lambda keys, _: [Note(key) for key in keys])
    participant = _notes(initial=Tally(), state_type=Tally, evolve=_change, decide=_decide_and_change)
    ledger = open_ledger(App(sagas=[GOOD, saga], participants=[participant]))

    async def scene() -> list[Status]:
        async with worker_on(ledger) as worker:
            started = [await worker.start(saga, ["a", "b", "a"], key=str(number)) for number in range(10)]
            return [(await worker.outcome(each.saga_id)).status for each in started]

    assert play(scene()) == [Status.COMPLETED] * 10
    assert participant.initial == Tally()
    counts = [len(ledger.backend.stream(f"notes-{key}")) for key in ("a", "b")]
    assert counts == [40, 20]


def test_a_step_cannot_change_the_state_of_its_saga(open_ledger: OpenLedger) -> None:
    """What it is shown of the other steps is only to be read."""
    saga = Saga("meddle", input=int)
    saga.step(name="first", compensable=False)(lambda *_: 1)

    @saga.step(name="go", compensable=False, retry=Retry(attempts=1))
    def go(_: int, ctx: StepContext) -> None:
        ctx.steps.clear()  # type: ignore[attr-defined]

    ledger = open_ledger(App(sagas=[GOOD, saga]))

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            return await worker.outcome((await worker.start(saga, 1, key="1")).saga_id)

    state = play(scene())
    assert state.steps["first"].forward.finished
    assert state.status is Status.COMPENSATED


# Sub-sagas whose start fails


@pytest.mark.parametrize(("failures", "status"), [(2, Status.COMPLETED), (100, Status.COMPENSATED)])
def test_a_sub_saga_whose_start_failed_is_started_by_the_next_attempt(
    open_ledger: OpenLedger, failures: int, status: Status
) -> None:
    """Its hook raised, which fails the attempt at its step, and the step is retried."""
    calls: list[int] = []
    child, parent = Saga("child", input=int), Saga("parent", input=int)
    child.step(name="go", compensable=False)(lambda *_: None)

    @child.on_started
    def begin(number: int) -> Sequence[Command]:
        calls.append(number)
        if len(calls) <= failures:
            raise OSError("away")
        return []

    parent.sub_saga(child, name="stay", compensable=False)(lambda number, _: number)
    ledger = open_ledger(App(sagas=[GOOD, parent]))

    async def scene() -> Status:
        async with worker_on(ledger) as worker:
            state = await worker.outcome((await worker.start(parent, 1, key="1")).saga_id)
            await _good_one_ends(worker)
            return state.status

    assert play(scene()) is status
    assert len(calls) == 3
