"""A worker as a whole: what it takes, what it leaves alone, which failures it survives, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from msgspec.structs import replace

from sagaledger.domain.errors import SagaledgerError
from sagaledger.domain.saga.events import StepOutcomeUnknown
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState, Status
from sagaledger.domain.saga.step import StepContext
from sagaledger.infrastructure.errors import OutcomeUnknown, SagaConflict, SagaNotFound, Unavailable, WorkerRunning
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall, PendingAppend
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import UnreadableEvent
from sagaledger.infrastructure.event_store.work_queue import QueueEntry
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.worker import engine

from .conftest import OpenLedger, play, short_history, until, worker_on


class Gate:
    """A saga whose step waits at a gate, and a count of its attempts."""

    def __init__(self, *, on_unknown: str = "retry") -> None:
        self.saga = Saga("gated", input=int)
        self.keys: list[str] = []
        self.open = asyncio.Event()
        self.undone: list[Any] = []

        @self.saga.step(retry=Retry(attempts=2, backoff_seconds=0.0), on_unknown=on_unknown)
        async def book(value: int, ctx: StepContext) -> int:
            self.keys.append(ctx.key)
            await self.open.wait()
            return value

        @book.compensation
        async def cancel(_: int, result: int | None, __: StepContext) -> None:
            self.undone.append(result)

        self.app = App(sagas=[self.saga])


# Starting


def test_the_same_saga_started_twice_is_one_saga(open_ledger: OpenLedger) -> None:
    """While it runs and when it has ended, from here and from another process; another input is a conflict."""
    gate = Gate()
    ledger, elsewhere = open_ledger(gate.app), open_ledger(gate.app)

    async def scene() -> None:
        async with worker_on(ledger) as worker:
            together = await asyncio.gather(*(worker.start(gate.saga, 1, key="1") for _ in range(5)))
            assert sorted(started.created for started in together) == [False] * 4 + [True]
            assert not (await asyncio.to_thread(elsewhere.start, gate.saga, 1, key="1")).created
            with pytest.raises(SagaConflict):
                await worker.start(gate.saga, 2, key="1")
            gate.open.set()
            await worker.outcome("gated-1")
            assert not (await worker.start(gate.saga, 1, key="1")).created
            with pytest.raises(SagaConflict):
                await asyncio.to_thread(elsewhere.start, gate.saga, 2, key="1")
            assert (await asyncio.to_thread(elsewhere.start, gate.saga, 2, key="2")).created
            assert not (await worker.start(gate.saga, 2, key="2")).created
            await worker.outcome("gated-2")

    play(scene())
    assert len(gate.keys) == 2


def test_a_saga_started_elsewhere_is_taken_up(open_ledger: OpenLedger) -> None:
    """Also while this worker is kept busy: some room stays free of its own starts."""
    gate = Gate()
    ledger, elsewhere = open_ledger(gate.app), open_ledger(gate.app)

    async def scene() -> None:
        async with worker_on(ledger, concurrency=20) as worker:
            own = [asyncio.ensure_future(worker.start(gate.saga, n, key=str(n))) for n in range(100)]
            await until(lambda: len(gate.keys) == 18)
            await asyncio.to_thread(elsewhere.start, gate.saga, 1, key="elsewhere")
            await until(lambda: len(gate.keys) == 19)
            assert sum(future.done() for future in own) == 18
            gate.open.set()
            await asyncio.gather(*own)
            await worker.idle()

    play(scene())
    assert len(set(gate.keys)) == 101


def test_who_waits_for_a_saga_that_is_held_is_told_without_another_look(
    open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as its end is durable: nobody reads the database for it, or waits for the time to do so."""
    gate = Gate()
    ledger = open_ledger(gate.app)
    monkeypatch.setattr(engine, "POLL_SECONDS", 3600.0)

    async def scene() -> Status:
        async with worker_on(ledger) as worker:
            await worker.start(gate.saga, 1, key="1")
            await until(lambda: len(gate.keys) == 1)
            outcome = asyncio.ensure_future(worker.outcome("gated-1"))
            await asyncio.sleep(0)  # it has asked
            gate.open.set()
            return (await outcome).status

    assert play(scene()) is Status.COMPLETED


def test_who_waits_for_a_saga_that_is_not_there_is_told(open_ledger: OpenLedger) -> None:
    """An unknown id is an error at once, not a wait without end."""

    async def scene() -> None:
        async with worker_on(open_ledger(Gate().app)) as worker:
            with pytest.raises(SagaNotFound):
                await worker.outcome("gated-nobody")

    play(scene())


def test_a_file_takes_one_worker_at_a_time(sqlite_url: str) -> None:
    """A second one raises when it opens, and works once the first has closed."""
    gate = Gate()
    with Ledger.open(sqlite_url, gate.app) as ledger, Ledger.open(sqlite_url, gate.app) as elsewhere:

        async def scene() -> None:
            async with worker_on(ledger):
                with pytest.raises(WorkerRunning):
                    async with worker_on(elsewhere):
                        pytest.fail("two workers at once")
            async with worker_on(elsewhere) as worker:
                await worker.idle()

        play(scene())


# What it leaves alone


def test_a_saga_of_an_unknown_definition_is_left_in_the_due_work(open_ledger: OpenLedger) -> None:
    """A worker claims only what it knows how to run, by name and version."""
    gate, newer = Gate(), Saga("gated", version=2, input=int)
    newer.step(name="book", compensable=False)(lambda _, __: None)
    everything = open_ledger(App(sagas=[newer, gate.saga]))
    everything.start(newer, 1, key="new")
    gate.open.set()

    async def scene() -> SagaState:
        async with worker_on(open_ledger(gate.app)) as worker:
            await worker.start(gate.saga, 1, key="old")
            await worker.idle()
            return await worker.outcome("gated-old")

    assert play(scene()).status is Status.COMPLETED
    assert [(row.saga_id, row.worker_id) for row in everything.backend.entries()] == [("gated-new", None)]


def test_a_saga_whose_stream_cannot_be_read_is_left_alone(open_ledger: OpenLedger) -> None:
    """The others go on; a caller that waits for it gets the error."""
    gate = Gate()
    ledger = open_ledger(gate.app)
    ledger.start(gate.saga, 1, key="broken")
    _write(ledger, "gated-broken", 2, topic="Nonsense")
    gate.open.set()

    async def scene() -> None:
        async with worker_on(ledger) as worker:
            ledger.start(gate.saga, 1, key="fine")
            assert (await worker.outcome("gated-fine")).status is Status.COMPLETED
            with pytest.raises(UnreadableEvent, match="gated-broken version 2"):
                await worker.outcome("gated-broken")
            await worker.idle()

    play(scene())
    assert [row.saga_id for row in ledger.backend.entries()] == ["gated-broken"]


def test_what_somebody_has_locked_is_due_all_the_same(postgres_url: str) -> None:
    """It cannot be claimed for the moment, and a worker is not idle as long as it is due."""
    gate = Gate()
    gate.open.set()

    async def scene(ledger: Ledger, other: psycopg.Connection[Any]) -> None:
        async with worker_on(ledger) as worker:
            await worker.start(gate.saga, 1, key="over")
            await worker.outcome("gated-over")
        ledger.start(gate.saga, 2, key="locked")
        other.execute("SELECT FROM due WHERE saga_id = 'gated-locked' FOR UPDATE")
        async with worker_on(ledger) as worker:
            idle = asyncio.create_task(worker.idle())
            for _ in range(2):
                await worker.outcome("gated-over")  # answered once the worker has looked for work
            assert not idle.done()
            other.rollback()
            await idle
        assert ledger.state("gated-locked").status is Status.COMPLETED

    with Ledger.open(postgres_url, gate.app, create=True) as ledger, psycopg.connect(postgres_url) as other:
        play(scene(ledger, other))


@pytest.mark.parametrize("unreadable", [{"topic": "Nonsense"}, {"state": b"{"}])
def test_a_running_saga_whose_stream_becomes_unreadable_is_left_alone(
    open_ledger: OpenLedger, unreadable: dict[str, Any]
) -> None:
    """Its next append conflicts with an event that is unknown or damaged: it is not retried for ever."""
    gate = Gate()
    ledger = open_ledger(gate.app)

    async def scene() -> None:
        async with worker_on(ledger) as worker:
            await worker.start(gate.saga, 1, key="1")
            await until(lambda: bool(gate.keys))
            _write(ledger, "gated-1", 3, **unreadable)
            waiting = asyncio.ensure_future(worker.outcome("gated-1"))
            gate.open.set()
            with pytest.raises(UnreadableEvent):
                await waiting
            assert (await worker.outcome((await worker.start(gate.saga, 2, key="2")).saga_id)).end is not None

    play(scene())


def _write(ledger: Ledger, stream_id: str, version: int, **altered: Any) -> None:
    recorded = ledger.history(stream_id)[0].event
    new = replace(ledger.context.codec.encode(stream_id, version, recorded), **altered)
    ledger.backend.append(AppendCall(uuid4(), [Append([new])]))


# What it survives


class Flaky:
    """A backend whose calls are interrupted: `trouble(name)` runs before each, `aftermath(name)` after it.

    The calls of its pending appends are interrupted as well.
    """

    def __init__(self, backend: Backend | PendingAppend, sender: Flaky | None = None) -> None:
        self._backend = backend
        self.trouble: Callable[[str], None] = sender.trouble if sender is not None else lambda _: None
        self.aftermath: Callable[[str], None] = sender.aftermath if sender is not None else lambda _: None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backend, name)
        if not callable(found):
            return found

        def call(*given: Any, **named: Any) -> Any:
            sending = self._backend if name == "receipt" else None
            try:
                self.trouble(name)
                result = found(*given, **named)
                sending = result if name == "send" else sending
                self.aftermath(name)
            except BaseException:
                if sending is not None:
                    sending.abandon()
                raise
            return Flaky(result, self) if name == "send" else result

        return call


@pytest.mark.parametrize("error", ["not written", "answer lost"])
@pytest.mark.parametrize("name", ["send", "receipt", "has_work", "claim", "notified", "streams", "renew", "snapshots"])
def test_a_database_that_is_away_for_a_while_costs_nothing(open_ledger: OpenLedger, name: str, error: str) -> None:
    """Every third call of a kind fails, before or after its effect: each saga still runs once, to its end."""
    gate = Gate()
    ledger, elsewhere = open_ledger(gate.app), open_ledger(gate.app)
    flaky = Flaky(ledger.backend)
    calls: dict[str, int] = {}

    def fail(called: str) -> None:
        calls[called] = calls.get(called, 0) + 1
        if called == name and calls[called] % 3 == 1:
            raise (
                OutcomeUnknown("it", "lost")
                if called in ("send", "receipt") and error != "not written"
                else Unavailable("away")
            )

    async def scene() -> None:
        ledger.context.backend = flaky  # type: ignore[assignment]  # it stands before the real one
        async with worker_on(ledger, lease_seconds=0.6) as worker:
            if error == "not written":
                flaky.trouble = fail
            else:
                flaky.aftermath = fail
            own = [await worker.start(gate.saga, n, key=str(n)) for n in range(3)]
            await asyncio.to_thread(elsewhere.start, gate.saga, 9, key="9")
            await until(lambda: len(gate.keys) == 4)
            await asyncio.to_thread(elsewhere.cancel, "gated-9", actor="ann", reason="no")
            await until(lambda: name != "renew" or calls.get("renew", 0) > 2)
            gate.open.set()
            for started in own:
                assert (await worker.outcome(started.saga_id)).status is Status.COMPLETED
            assert (await worker.outcome("gated-9")).status is Status.COMPENSATED
            await worker.idle()
            flaky.trouble = flaky.aftermath = lambda _: None

    play(scene())
    assert len(gate.keys) == len(set(gate.keys)) == 4
    assert elsewhere.backend.entries() == []


def test_a_worker_whose_lease_was_taken_over_starts_afresh(open_ledger: OpenLedger) -> None:
    """Nothing is appended under the old token; what it held is resumed, with its running step as unknown."""
    gate = Gate()
    ledger = open_ledger(gate.app)

    async def scene() -> str:
        async with worker_on(ledger, lease_seconds=0.6) as worker:
            await worker.start(gate.saga, 1, key="1")
            await until(lambda: len(gate.keys) == 1)
            (lost,) = ledger.backend.workers()
            _end_lease(ledger, lost.worker_id, lost.epoch)
            await until(lambda: len(gate.keys) == 2)
            gate.open.set()
            assert (await worker.outcome("gated-1")).status is Status.COMPLETED
            await worker.outcome((await worker.start(gate.saga, 2, key="2")).saga_id)
            return lost.worker_id

    before = play(scene())
    history = ledger.history("gated-1")
    unknown = next(r for r in history if isinstance(r.event, StepOutcomeUnknown))
    assert unknown.event.worker == before  # type: ignore[attr-defined]
    assert {r.meta.worker == before for r in history if r.version >= unknown.version} == {False}
    assert len(set(gate.keys[:2])) == 1


def _end_lease(ledger: Ledger, worker_id: str, epoch: int) -> None:
    """End a lease, like a worker that finds it expired."""
    import sqlite3  # noqa: PLC0415

    import psycopg  # noqa: PLC0415

    url = ledger.backend.url
    if url.startswith("sqlite"):
        connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    else:
        connection = psycopg.connect(url, autocommit=True)
    connection.execute(f"DELETE FROM workers WHERE epoch = {epoch}")  # noqa: S608 -- an integer
    connection.execute(f"UPDATE due SET worker_id = NULL WHERE worker_id = '{worker_id}'")  # noqa: S608 -- our own
    connection.close()


def test_an_attempt_whose_worker_died_may_be_settled_by_undoing_it(open_ledger: OpenLedger) -> None:
    """With on_unknown="compensate" it is not tried again: its compensation runs, without a result."""
    gate = Gate(on_unknown="compensate")
    ledger = open_ledger(gate.app)

    async def dies() -> None:
        async with worker_on(ledger, drain_seconds=0.0) as worker:
            await worker.start(gate.saga, 1, key="1")
            await until(lambda: bool(gate.keys))

    async def takes_over() -> SagaState:
        async with worker_on(ledger) as worker:
            return await worker.outcome("gated-1")

    play(dies())
    assert play(takes_over()).status is Status.COMPENSATED
    assert gate.undone == [None]
    assert short_history(ledger, "gated-1")[2:] == ["book unknown", "book undoing", "book undone", "SagaCompensated"]


# How it ends


def test_a_worker_that_closes_waits_for_the_steps_that_run(open_ledger: OpenLedger) -> None:
    """All their outcomes are recorded; the next steps are left to the next worker."""
    many = 700  # more than one append takes
    saga = Saga("two", input=int)
    let_go = asyncio.Event()
    began: list[int] = []

    @saga.step(compensable=False)
    async def first(value: int, _: StepContext) -> None:
        began.append(value)
        await let_go.wait()

    @saga.step(compensable=False)
    async def second(_: int, __: StepContext) -> None:
        """At once."""

    ledger = open_ledger(App(sagas=[saga]))

    async def closes() -> None:
        async with worker_on(ledger) as worker:
            await asyncio.gather(*(worker.start(saga, n, key=str(n)) for n in range(many)))
            await until(lambda: len(began) == many)
            asyncio.get_running_loop().call_later(0.05, let_go.set)

    async def goes_on() -> None:
        async with worker_on(ledger) as worker:
            await worker.idle()

    play(closes())
    assert {tuple(short_history(ledger, f"two-{n}")) for n in range(0, many, 50)} == {
        ("SagaStarted", "first started", "first succeeded")
    }
    assert ledger.backend.workers() == []
    play(goes_on())
    assert {short_history(ledger, f"two-{n}")[-1] for n in range(many)} == {"SagaCompleted"}


def test_a_worker_closes_though_the_database_is_away(open_ledger: OpenLedger) -> None:
    """It gives up after its time and logs so; callers that wait get an error."""
    gate = Gate()
    ledger = open_ledger(gate.app)
    flaky = Flaky(ledger.backend)

    def away(_: str) -> None:
        raise Unavailable("away")

    async def scene() -> list[BaseException | None]:
        ledger.context.backend = flaky  # type: ignore[assignment]  # it stands before the real one
        async with worker_on(ledger, drain_seconds=0.2) as worker:
            await worker.start(gate.saga, 1, key="1")
            flaky.trouble = away
            asked = [
                asyncio.ensure_future(worker.outcome("gated-1")),
                asyncio.ensure_future(worker.start(gate.saga, 2, key="2")),
            ]
            await asyncio.sleep(0)
            gate.open.set()
        await asyncio.wait(asked)
        return [future.exception() for future in asked]

    errors = play(scene())
    flaky.trouble = lambda _: None
    assert all(isinstance(error, SagaledgerError) for error in errors)


def test_what_ends_the_engine_ends_the_worker(open_ledger: OpenLedger) -> None:
    """An unexpected error is raised where the worker is used, and every held saga is released."""
    gate = Gate()
    ledger = open_ledger(gate.app)
    flaky = Flaky(ledger.backend)

    def fail(name: str) -> None:
        if name == "has_work":
            raise ZeroDivisionError("a bug")

    async def scene() -> None:
        ledger.context.backend = flaky  # type: ignore[assignment]  # it stands before the real one
        async with worker_on(ledger) as worker:
            flaky.trouble = fail
            await worker.run_until(asyncio.Event())

    with pytest.raises(ZeroDivisionError):
        play(scene())
    assert ledger.backend.workers() == []


def test_a_closed_worker_says_so(open_ledger: OpenLedger) -> None:
    """Used after its end it raises; none of its threads is left."""
    gate = Gate()

    async def scene() -> None:
        async with worker_on(open_ledger(gate.app)) as worker:
            pass
        with pytest.raises(Unavailable):
            await worker.idle()

    play(scene())
    assert not [thread for thread in threading.enumerate() if thread.name == "saga-engine"]


def test_a_person_is_heard_though_the_due_row_was_about_to_go(open_ledger: OpenLedger) -> None:
    """A notification that comes while a worker releases a saga is not lost with its queue entry."""
    gate = Gate()
    ledger = open_ledger(gate.app)
    ledger.start(gate.saga, 1, key="1")
    epoch = ledger.backend.register(host="here", pid=1, lease_seconds=60)
    (claim,) = ledger.backend.claim(epoch, definitions=[("gated", 1)], limit=10)
    ledger.cancel("gated-1", actor="ann", reason="no")
    over = QueueEntry(claim.saga_id, claim.definition, claim.definition_version, None, None)
    ledger.backend.append(AppendCall(uuid4(), [Append([], over)], epoch))
    assert [(row.saga_id, row.worker_id) for row in ledger.backend.entries()] == [("gated-1", None)]
    ledger.backend.append(AppendCall(uuid4(), [Append([], over)], epoch))
    assert ledger.backend.entries() == []
