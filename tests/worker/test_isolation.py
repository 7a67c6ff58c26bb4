"""What a worker does when its parts fail: its engine, its threads' clocks, its snapshots, its running actions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event as ThreadEvent
from typing import Any
from uuid import uuid4

import pytest

from sagaledger.domain.errors import DefinitionError
from sagaledger.domain.participant import Participant, Refused
from sagaledger.domain.recorded_event import Meta
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState, Status
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.append_builder import AppendBuilder
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.saga_start import SagaStart
from sagaledger.infrastructure.ledger.stream_cache import SNAPSHOT_EVERY_EVENTS, StreamCache
from sagaledger.infrastructure.runtime.clock import SYSTEM_CLOCK
from sagaledger.infrastructure.worker.coordination.lease import Lease
from sagaledger.infrastructure.worker.engine import Engine
from sagaledger.infrastructure.worker.group_commit import batch as batches
from sagaledger.infrastructure.worker.group_commit.batch import TransitionBatch
from sagaledger.infrastructure.worker.group_commit.transition import Transition
from sagaledger.infrastructure.worker.held_sagas import HeldSaga
from sagaledger.infrastructure.worker.steps import task_runner

from .conftest import OpenLedger, play, short_history, until, worker_on
from .goods import FILLING, SHELF, Fill, Take, goods_app

# An engine that ends


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, RuntimeError])
def test_an_engine_that_ends_ends_its_worker_loudly(
    open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Whoever waits hears of it, the context manager raises it, and the next worker gets the lock."""
    ledger = open_ledger(goods_app())
    turn = Engine.turn

    def end(self: Engine, messages: Sequence[Any]) -> Any:
        if messages:
            raise error("the engine is broken")
        return turn(self, messages)

    async def broken() -> None:
        async with worker_on(ledger) as worker:
            await worker.start(FILLING, [Fill("a", 1)])

    async def next_worker() -> Status:
        async with worker_on(ledger) as worker:
            return (await worker.outcome((await worker.start(FILLING, [Fill("a", 1)])).saga_id)).status

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "turn", end)
        with pytest.raises(RuntimeError, match="the engine is broken"):
            play(broken())
    assert play(next_worker()) is Status.COMPLETED


def test_a_worker_whose_engine_ended_can_be_closed(open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing does not wait for an engine that is gone; it raises what ended it, and so does running until then."""
    ledger = open_ledger(goods_app())

    def end(_: Engine, __: Sequence[Any]) -> Any:
        raise SystemExit(1)

    async def scene() -> None:
        monkeypatch.setattr(Engine, "turn", end)
        async with worker_on(ledger) as worker:
            with pytest.raises(RuntimeError, match="SystemExit"):
                await worker.run_until(asyncio.Event())

    with pytest.raises(RuntimeError, match="SystemExit"):
        play(scene())


# Actions that run although their saga compensates


@pytest.mark.parametrize("why", ["cancel", "deadline"])
def test_an_action_without_a_timeout_does_not_keep_its_saga_from_compensating(
    open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """After a while it is cancelled; what it did is unknown, so it is compensated."""
    monkeypatch.setattr(task_runner, "GRACE_SECONDS", 0.1)
    saga = Saga("endless", input=int, deadline=0.5 if why == "deadline" else None)
    undone: list[object] = []

    @saga.step()
    async def go(_: int, __: Any) -> str:
        await asyncio.Event().wait()
        return "never"

    @go.compensation
    async def undo(_: int, result: str | None, __: Any) -> None:
        undone.append(result)

    ledger = open_ledger(App(sagas=[saga]))

    async def scene() -> SagaState:
        async with worker_on(ledger) as worker:
            await worker.start(saga, 1, key="1")
            await until(lambda: "go started" in short_history(ledger, "endless-1"))
            if why == "cancel":
                await asyncio.to_thread(ledger.cancel, "endless-1", actor="ann", reason="enough")
            return await worker.outcome("endless-1")

    assert play(scene()).status is Status.COMPENSATED
    assert undone == [None]


def test_a_function_that_no_thread_is_free_for_does_not_keep_its_saga_from_compensating(
    open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not called, so it had no effect; the one that keeps the thread runs on."""
    monkeypatch.setattr(task_runner, "GRACE_SECONDS", 0.1)
    release = ThreadEvent()
    stuck, late = Saga("stuck", input=int), Saga("late", input=int)
    stuck.step(name="go", compensable=False)(lambda *_: release.wait(60))
    late.step(name="go", compensable=False)(lambda *_: None)
    ledger = open_ledger(App(sagas=[stuck, late]))

    async def scene() -> tuple[SagaState, SagaState]:
        try:
            async with worker_on(ledger, threads=1) as worker:
                for saga in (stuck, late):
                    await worker.start(saga, 1, key="1")
                    await until(lambda name=saga.name: "go started" in short_history(ledger, f"{name}-1"))  # type: ignore[misc]
                for saga in (late, stuck):
                    await asyncio.to_thread(ledger.cancel, f"{saga.name}-1", actor="ann", reason="enough")
                ended = await worker.outcome("late-1")
                await asyncio.sleep(0.3)
                running = ledger.state("stuck-1")
                release.set()  # or the worker, which closes now, waits for it
                return ended, running
        finally:
            release.set()

    ended, running = play(scene())
    assert ended.status is Status.COMPENSATED
    assert ended.steps["go"].forward.error is not None
    assert ended.steps["go"].forward.error.type == "NoThreadFree"
    assert not ended.steps["go"].forward.possibly_executed
    assert running.in_flight


def test_an_action_that_ends_in_time_is_not_cancelled(open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A running action has a while to end by itself; its outcome is recorded."""
    monkeypatch.setattr(task_runner, "GRACE_SECONDS", 5.0)
    saga = Saga("slow", input=int)
    ended = asyncio.Event()

    @saga.step(compensable=False)
    async def go(_: int, __: Any) -> None:
        await ended.wait()

    ledger = open_ledger(App(sagas=[saga]))

    async def scene() -> None:
        async with worker_on(ledger) as worker:
            await worker.start(saga, 1, key="1")
            await until(lambda: "go started" in short_history(ledger, "slow-1"))
            await asyncio.to_thread(ledger.cancel, "slow-1", actor="ann", reason="enough")
            await asyncio.sleep(0.3)
            ended.set()
            await worker.outcome("slow-1")

    play(scene())
    assert short_history(ledger, "slow-1") == [
        "SagaStarted", "go started", "CancelRequested", "go succeeded", "SagaCompensated",
    ]  # fmt: skip


# A machine that slept


def test_a_lease_reads_the_clock_of_the_database_again_after_a_sleep(postgres_url: str) -> None:
    """A suspended machine's monotonic clock stood still: the lease's time is the database's all the same."""
    slept = 0.0
    clock = SYSTEM_CLOCK._replace(monotonic=lambda: SYSTEM_CLOCK.monotonic() - slept)
    with Ledger.open(postgres_url, App(), create=True) as ledger:
        lease = Lease(ledger.backend, 60.0, clock)
        assert abs(lease.now() - datetime.now(UTC)) < timedelta(seconds=1)
        slept = 3600.0
        assert lease.now() < datetime.now(UTC) - timedelta(minutes=59)

        lease._check_at = 0.0
        lease._check_clock()

        assert abs(lease.now() - datetime.now(UTC)) < timedelta(seconds=1)
        lease.retire()


def test_a_wall_clock_that_jumps_changes_nothing(postgres_url: str) -> None:
    """The clock is read again, and says the same."""
    ahead = timedelta()
    clock = SYSTEM_CLOCK._replace(now=lambda: SYSTEM_CLOCK.now() + ahead)
    with Ledger.open(postgres_url, App(), create=True) as ledger:
        lease = Lease(ledger.backend, 60.0, clock)
        ahead = timedelta(hours=1)

        lease._check_clock()

        assert abs(lease.now() - datetime.now(UTC)) < timedelta(seconds=1)
        lease.retire()


# Snapshots


class _Busy:
    """A stream cache that always has a draft of one shelf under way."""

    def __init__(self, ledger: Ledger) -> None:
        self.cache = StreamCache(ledger.app, ledger.backend, ledger.context.codec)
        self._ledger = ledger

    def draft(self, *commands: Fill | Take) -> AppendBuilder:
        def build() -> AppendBuilder:
            draft = self.cache.draft("filling-1", Meta())
            draft.handle(commands, datetime.now(UTC))
            return draft

        [draft] = self.cache.build([build])
        self.cache.stage(draft.overlay)
        return draft

    def acknowledge(self, draft: AppendBuilder) -> None:
        self._ledger.backend.append(AppendCall(uuid4(), [draft.append()]))
        self.cache.confirm(draft.overlay)


def test_a_busy_stream_gets_its_snapshots_and_only_of_what_is_acknowledged(open_ledger: OpenLedger) -> None:
    """The next draft is always under way: the acknowledged state is kept, not the drafted one."""
    ledger = open_ledger(goods_app())
    busy = _Busy(ledger)
    under_way = busy.draft(*[Fill("a", 1)] * (SNAPSHOT_EVERY_EVENTS - 1))
    following = busy.draft(Fill("a", 1))
    busy.cache.snapshot()
    assert ledger.backend.snapshots(["shelf-a"]) == []

    busy.acknowledge(under_way)
    further = busy.draft(Fill("a", 1))
    busy.cache.snapshot()
    assert ledger.backend.snapshots(["shelf-a"]) == []

    busy.acknowledge(following)
    busy.cache.snapshot()  # `further` is under way
    [snapshot] = ledger.backend.snapshots(["shelf-a"])
    assert (snapshot.version, snapshot.state) == (SNAPSHOT_EVERY_EVENTS, b"%d" % SNAPSHOT_EVERY_EVENTS)
    busy.acknowledge(further)


def test_a_snapshot_that_cannot_be_written_stops_no_worker(open_ledger: OpenLedger) -> None:
    """A state that is not JSON costs reading, and nothing else."""
    ledger = open_ledger(goods_app())
    busy = _Busy(ledger)
    draft = busy.draft(*[Fill("a", 1)] * SNAPSHOT_EVERY_EVENTS)
    busy.acknowledge(draft)
    busy.cache._snapshots_due["shelf-a"] = busy.cache._snapshots_due["shelf-a"]._replace(state=object())

    busy.cache.snapshot()

    assert ledger.backend.snapshots(["shelf-a"]) == []


# Decisions that write nothing


@pytest.mark.parametrize("command", [Take("a", 1, quietly=True)])
def test_a_decision_that_writes_nothing_rests_on_the_newest_events(open_ledger: OpenLedger, command: Take) -> None:
    """A refusal without an event would meet no conflict: the stream is read again before it is believed."""
    ledger = open_ledger(goods_app())
    cache = StreamCache(ledger.app, ledger.backend, ledger.context.codec)

    def take() -> int:
        draft = cache.draft("taking-1", Meta())
        return draft.handle([command], datetime.now(UTC))

    with pytest.raises(Refused):
        cache.build([take])
    filled = SHELF.decide(0, Fill("a", 1), datetime.now(UTC))[0]  # by another process
    ledger.backend.append(AppendCall(uuid4(), [Append([ledger.context.codec.encode("shelf-a", 1, filled)])]))

    assert cache.build([take]) == [1]


def test_a_decision_without_events_rests_on_the_newest_events(open_ledger: OpenLedger) -> None:
    """Nothing to do is a decision, too: the stream is read again before it is believed."""
    ledger = open_ledger(
        App(
            participants=[
                Participant(
                    "shelf",
                    initial=0,
                    state_type=int,
                    events=SHELF.events,
                    commands={Fill: lambda fill: str(fill.shelf)},
                    decide=lambda pieces, fill, at: [] if pieces else SHELF.decide(pieces, fill, at),
                    evolve=SHELF.evolve,
                )
            ]
        )
    )
    cache = StreamCache(ledger.app, ledger.backend, ledger.context.codec)

    def fill_if_empty() -> int:
        draft = cache.draft("filling-1", Meta())
        count = draft.handle([Fill("a", 1)], datetime.now(UTC))
        cache.stage(draft.overlay)
        return count

    def write(version: int, command: Fill | Take) -> None:
        """As another process does."""
        [event] = SHELF.decide(1, command, datetime.now(UTC))
        encoded = ledger.context.codec.encode("shelf-a", version, event)
        ledger.backend.append(AppendCall(uuid4(), [Append([encoded])]))

    write(1, Fill("a", 1))
    assert cache.build([fill_if_empty]) == [0]
    write(2, Take("a", 1))

    assert cache.build([fill_if_empty]) == [1]


def test_a_decision_that_writes_nothing_waits_for_what_is_drafted(open_ledger: OpenLedger) -> None:
    """What the batch before writes may not become true: the decision is left out."""
    ledger = open_ledger(goods_app())
    cache = StreamCache(ledger.app, ledger.backend, ledger.context.codec)

    def handle(*commands: Fill | Take) -> bool:
        draft = cache.draft("taking-1", Meta())
        draft.handle(commands, datetime.now(UTC))
        cache.stage(draft.overlay)
        return True

    refused = partial(handle, Take("a", 5, quietly=True))

    assert cache.build([partial(handle, Fill("a", 1)), refused]) == [True]
    with pytest.raises(Refused):
        cache.build([refused])
    assert cache.build([refused], unsettled={"shelf-a"}) == []


# The bounds of a batch


def test_a_batch_is_full_by_bytes_and_by_events(open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sagas that no longer fit wait for the next append call."""
    monkeypatch.setattr(batches, "BATCH_BYTES_MAX", 20_000)
    sizes: list[tuple[int, int]] = []
    add = TransitionBatch.add

    def watched(self: TransitionBatch, transition: Any) -> None:
        add(self, transition)
        sizes.append((id(self), sum(one.draft.size_bytes for one in self)))

    monkeypatch.setattr(TransitionBatch, "add", watched)
    saga = Saga("heavy", input=str)
    saga.local_step(name="go", compensable=False)(lambda _, __: [Fill("a", 1)])
    ledger = open_ledger(App(sagas=[saga], participants=[SHELF]))

    async def scene() -> None:
        async with worker_on(ledger) as worker:
            starts = [worker.start(saga, "x" * 8_000, key=str(number)) for number in range(20)]
            for started in await asyncio.gather(*starts):
                await worker.outcome(started.saga_id)

    play(scene())
    assert max(size for _, size in sizes) < 20_000 + 10_000


def test_what_is_withdrawn_leaves_its_room_to_others(open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """In events and in bytes."""
    ledger = open_ledger(goods_app())
    saga_start = SagaStart.of(FILLING.definition, [Fill("a", 1)], "1")
    held = HeldSaga("filling-1", FILLING.definition, SagaState("filling-1"), None)
    held.saga_start = saga_start
    cache = StreamCache(ledger.app, ledger.backend, ledger.context.codec)

    def draft() -> Transition:
        append = cache.draft("filling-1", Meta())
        return Transition(held, held.definition, held.state, append, "w", datetime.now(UTC), draining=False).build()

    [transition] = cache.build([draft])
    for bounds in ((1, 10**9), (10**9, 1)):
        monkeypatch.setattr(batches, "BATCH_EVENTS_MAX", bounds[0])
        monkeypatch.setattr(batches, "BATCH_BYTES_MAX", bounds[1])
        batch = TransitionBatch()
        batch.add(transition)
        assert batch.is_full

        assert batch.withdraw([transition]) == [transition]

        assert not batch.is_full


# Sagas that are steps


def test_a_sub_saga_is_registered_with_its_parent() -> None:
    """Otherwise it would be started, and no worker would ever claim it."""
    grandchild, child, parent = Saga("grandchild", input=int), Saga("child", input=int), Saga("parent", input=int)
    grandchild.sleep("wait", seconds=1)
    child.sub_saga(grandchild, name="go", compensable=False)(lambda _, __: 1)
    parent.sub_saga(child, name="go", compensable=False)(lambda _, __: 1)

    app = App(sagas=[parent])

    for each in (app, App(sagas=[child, parent])):
        assert [definition.name for definition in each.definitions] == ["child", "grandchild", "parent"]


def test_two_sagas_of_one_name_and_version_are_refused_also_when_one_is_a_step() -> None:
    """The parent would start the one, and the worker would drive the other."""
    child, other, parent = Saga("child", input=int), Saga("child", input=int), Saga("parent", input=int)
    for saga in (child, other):
        saga.sleep("wait", seconds=1)
    parent.sub_saga(child, name="go", compensable=False)(lambda _, __: 1)

    with pytest.raises(DefinitionError, match="another saga is registered under that name and version"):
        App(sagas=[other, parent])
