"""Numbers at every entry into the log: each is stored as it is, or refused before anything is written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import pytest

from sagaledger.domain.errors import InvalidInput, NotSerialisable
from sagaledger.domain.event import Event, event
from sagaledger.domain.participant import Command, Participant
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState, Status
from sagaledger.domain.saga.step import StepContext
from sagaledger.infrastructure.choreography.start import start_processes
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.worker import Worker

from .conftest import OpenLedger, play, until, worker_on

NAN, INF = float("nan"), float("inf")
LACKING = [NAN, INF, -INF, [NAN], [[1.0, (INF,)]], {"a": {"b": [None, NAN]}}, {NAN: 1}, {"a": None, "b": -INF}]
KEPT = [
    None, 0, -0.0, 1e308, 5e-324, 0.1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**40, "NaN",
    "Infinity", [None, 2**64, [1e-300]], {"a": {"b": [None, 10**30]}, "nan": None, "-inf": 1},
]  # fmt: skip
ONCE = Retry(attempts=1)


@event("Weighed")
class Weighed(Event, frozen=True):
    """An event with every kind of field that a number may be put into."""

    scale: str
    value: Any
    grams: float | None = None
    pieces: int | None = 0
    label: str = ""


class Weigh(Command, frozen=True):
    """Record this."""

    scale: str
    value: Any
    more: dict[str, Any] = msgspec.field(default_factory=dict)


def _decide(_: int, command: Weigh, at: datetime) -> Sequence[Event]:
    return [Weighed(at, command.scale, command.value, **command.more)]


SCALE = Participant(
    "scale",
    initial=0,
    state_type=int,
    events=(Weighed,),
    commands={Weigh: lambda weigh: str(weigh.scale)},
    decide=_decide,
    evolve=lambda state, _: state + 1,
)


def _weighing(values: dict[str, Any]) -> Saga[Any]:
    """Returns a saga that passes on what its steps are told: results, an event, and what a person says."""
    saga = Saga("weighing", input=Any)

    @saga.step(retry=ONCE)
    async def weigh(_: Any, __: StepContext) -> Any:
        return values["result"]

    @weigh.compensation(retry=ONCE)
    async def empty(_: Any, __: Any, ___: StepContext) -> Any:
        return values["undone"]

    @saga.local_step(compensable=False, retry=ONCE)
    def record(_: Any, __: StepContext) -> list[Command]:
        return [Weigh("a", values["event"])]

    saga.wait_for("wait", signal="word")
    return saga


class Scene:
    """A saga that meets a value at one entry, and has the number 1 at the others."""

    def __init__(self, open_ledger: OpenLedger) -> None:
        self.values: dict[str, Any] = {"result": 1, "undone": 1, "event": 1}
        self.saga = _weighing(self.values)
        self.ledger: Ledger = open_ledger(App(sagas=[self.saga], participants=[SCALE]))
        self.count = 0

    async def start(self, worker: Worker, value: Any = 1) -> str:
        """Start the saga, and wait until it has ended, or waits for its signal or a person."""
        self.count += 1
        saga_id = (await worker.start(self.saga, value, key=str(self.count))).saga_id
        idle = (Status.WAITING, Status.NEEDS_INTERVENTION, Status.COMPENSATED)
        await until(lambda: self.ledger.state(saga_id).status in idle)
        return saga_id

    def state(self, saga_id: str) -> SagaState:
        """Returns the saga's state, as it is in the log."""
        return self.ledger.state(saga_id)


def _same(stored: Any, value: Any) -> bool:
    """Whether what is read from stored JSON is the value, number for number."""
    return repr(msgspec.json.decode(stored)) == repr(value)


def test_an_input_is_stored_as_it_is_or_refused(open_ledger: OpenLedger) -> None:
    """A saga that was refused has not begun."""
    scene = Scene(open_ledger)

    for number, value in enumerate(KEPT):
        started = scene.ledger.start(scene.saga, value, key=f"kept-{number}")
        assert _same(scene.state(started.saga_id).input, value), value
    head = scene.ledger.backend.head()
    for value in LACKING:
        with pytest.raises(InvalidInput, match="JSON lacks"):
            scene.ledger.start(scene.saga, value, key="lacking")
    assert scene.ledger.backend.head() == head


@pytest.mark.parametrize("entry", ["result", "event"])
def test_what_a_step_makes_is_stored_as_it_is_or_fails_the_step(open_ledger: OpenLedger, entry: str) -> None:
    """Its result, and the event of a participant: the saga is compensated, and its worker goes on."""
    scene = Scene(open_ledger)

    async def play_all() -> None:
        async with worker_on(scene.ledger) as worker:
            for value in KEPT:
                scene.values[entry] = value
                state = scene.state(await scene.start(worker))
                assert state.status is Status.WAITING, value
                stored = state.steps["weigh"].forward.result if entry == "result" else _last_weighed(scene.ledger)
                assert _same(stored, value), value
            for value in LACKING:
                scene.values[entry] = value
                state = scene.state(await scene.start(worker))
                assert state.status is Status.COMPENSATED, value
                [error] = [step.forward.error for step in state.steps.values() if step.forward.error is not None]
                assert error.type == "NotSerialisable"
                assert "JSON lacks" in error.message

    play(play_all())


def _last_weighed(ledger: Ledger) -> bytes:
    row = ledger.backend.stream("scale-a")[-1]
    assert isinstance(ledger.context.codec.decode(row).event, Weighed)
    return bytes(msgspec.json.decode(row.state, type=dict[str, msgspec.Raw])["value"])


def test_the_result_of_a_compensation_is_stored_as_it_is_or_fails_it(open_ledger: OpenLedger) -> None:
    """A compensation that fails for good needs a person, as any does."""
    scene = Scene(open_ledger)
    scene.values["event"] = NAN  # so that the saga turns back

    async def play_all() -> None:
        async with worker_on(scene.ledger) as worker:
            for value in [*KEPT, *LACKING]:
                scene.values["undone"] = value
                status = scene.state(await scene.start(worker)).status
                refused = any(value is lacking for lacking in LACKING)
                assert status is (Status.NEEDS_INTERVENTION if refused else Status.COMPENSATED), value

    play(play_all())


def test_a_signal_is_stored_as_it_is_or_refused(open_ledger: OpenLedger) -> None:
    """Its sender learns of it, and the saga goes on waiting."""
    scene = Scene(open_ledger)

    async def play_all() -> None:
        async with worker_on(scene.ledger) as worker:
            for value in KEPT:
                saga_id = await scene.start(worker)
                for lacking in LACKING:
                    with pytest.raises(NotSerialisable, match="JSON lacks"):
                        await asyncio.to_thread(scene.ledger.signal, saga_id, "word", lacking, actor="ann")
                await asyncio.to_thread(scene.ledger.signal, saga_id, "word", value, actor="ann")
                assert _same((await worker.outcome(saga_id)).steps["wait"].forward.result, value), value

    play(play_all())


def test_the_result_that_a_person_gives_is_stored_as_it_is_or_refused(open_ledger: OpenLedger) -> None:
    """The step that needs the person keeps needing one."""
    saga = Saga("asking", input=int)

    @saga.step(compensable=False, pivot=True, retry=ONCE)
    async def ask(_: int, __: StepContext) -> Any:
        raise ConnectionError("no answer")

    ledger = open_ledger(App(sagas=[saga]))
    resolve = {"actor": "ann", "reason": "asked them", "step": "ask"}

    async def play_all() -> None:
        async with worker_on(ledger) as worker:
            for number, value in enumerate(KEPT):
                saga_id = (await worker.start(saga, 1, key=str(number))).saga_id
                await until(lambda asked=saga_id: bool(ledger.state(asked).interventions))  # type: ignore[misc]
                for lacking in LACKING:
                    with pytest.raises(NotSerialisable, match="JSON lacks"):
                        await asyncio.to_thread(ledger.intervene, saga_id, "resolve", result=lacking, **resolve)
                await asyncio.to_thread(ledger.intervene, saga_id, "resolve", result=value, **resolve)
                assert _same((await worker.outcome(saga_id)).steps["ask"].forward.result, value), value

    play(play_all())


@pytest.mark.parametrize(
    "more", [{}, {"grams": NAN}, {"grams": INF}, {"pieces": NAN}, {"pieces": -INF}, {"label": NAN}]
)
def test_the_event_that_begins_a_process_is_stored_as_it_is_or_refused(
    open_ledger: OpenLedger, more: dict[str, Any]
) -> None:
    """Whatever the declared type of the field is: msgspec does not check it when the event is made."""
    ledger = open_ledger(App(participants=[SCALE]))
    values = LACKING if not more else [1]

    for number, value in enumerate(KEPT):
        start_processes(ledger, [(f"flow-{number}", Weigh(str(number), value))], actor="ann")
        row = ledger.backend.stream(f"scale-{number}")[-1]
        assert _same(msgspec.json.decode(row.state, type=dict[str, msgspec.Raw])["value"], value), value
    head = ledger.backend.head()
    for value in values:
        with pytest.raises(NotSerialisable, match="event 'Weighed' has a number that JSON lacks"):
            start_processes(ledger, [("flow-x", Weigh("x", value, more))], actor="ann")
    assert ledger.backend.head() == head
