"""Ticks start once each: any number of workers in any order, crashes, lost replies, clocks that jump, pauses.

What is started is compared with a rule that looks at none of it: each full ten minutes since the declaration.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from sagaledger import (
    App,
    Command,
    Event,
    Ledger,
    OutcomeUnknown,
    Participant,
    Refused,
    Saga,
    Schedule,
    Tick,
    Unavailable,
    event,
)
from sagaledger.domain.saga.events import SagaCompleted, SagaStarted
from sagaledger.domain.schedule.events import (
    ScheduleTickQueued,
    ScheduleTicksSkipped,
    ScheduleTickStarted,
    SkipCause,
)
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall, Receipt
from sagaledger.infrastructure.ledger.schedule_start import TickStarter
from sagaledger.infrastructure.ledger.schedule_streams import ScheduleStreams
from sagaledger.infrastructure.ledger.snapshot_verification import verify_snapshots
from sagaledger.infrastructure.ledger.transact import call_of
from sagaledger.infrastructure.runtime.clock import SYSTEM_CLOCK

from ..memory_backend.backend import MemoryBackend

NOON = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
TEN = timedelta(minutes=10)

settle_it = Saga("settle", input=str)


@settle_it.step(compensable=False)
def pay(day: str, _: Any) -> str:
    return day


class Backend(MemoryBackend):
    """A ledger in memory; the next appends may meet a rival, or fail as a network does."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__(now)
        self.before: Callable[[], None] | None = None
        self.fails: str | None = None

    def append(self, call: AppendCall) -> Receipt:
        before, self.before = self.before, None
        if before is not None:
            before()
        fails, self.fails = self.fails, None
        if fails == "before":
            raise Unavailable("the server is away")
        receipt = super().append(call)
        if fails == "after":
            raise OutcomeUnknown(str(call.append_id), "the reply was lost")
        return receipt


class World:
    """A ledger with one schedule, a true time, and workers whose clocks may be wrong."""

    def __init__(self, overlap: str = "allow", catch_up: str = "all") -> None:
        self.now = NOON
        self.backend = Backend(lambda: self.now)
        self.schedule = Schedule(
            "nightly", settle_it, cron="*/10 * * * *", input=_day, overlap=overlap, catch_up=catch_up
        )
        app = App(sagas=[settle_it], schedules=[self.schedule])
        self.ledger = Ledger(self.backend, app, clock=SYSTEM_CLOCK._replace(now=lambda: self.now))
        self.workers = [self.worker() for _ in range(3)]
        self.workers[0].declare(self.schedule, self.now)

    def worker(self) -> TickStarter:
        return TickStarter(ScheduleStreams(self.ledger.context))

    def settle(self, number: int, ahead: timedelta = timedelta(0)) -> None:
        with suppress(Unavailable, OutcomeUnknown):
            self.workers[number].settle(self.schedule, self.now + ahead)

    def events(self, type_: type[Any]) -> list[Any]:
        return [each.event for each in self.ledger.schedules.history("nightly") if isinstance(each.event, type_)]

    def started(self) -> Counter[datetime]:
        """How often a saga was started for each tick, as the sagas' own streams say."""
        rows = self.backend.read(0, limit=100_000, topics=("SagaStarted",))
        starts = [self.ledger.context.codec.decode(row).event for row in rows]
        assert all(isinstance(each, SagaStarted) and each.actor == "schedule nightly" for each in starts)
        return Counter(datetime.fromisoformat(bytes(each.input).decode().strip('"')) for each in starts)  # type: ignore[attr-defined]

    def end_running(self) -> None:
        """End every saga that runs."""
        for saga_id in self.running():
            version = len(self.backend.stream(saga_id))
            new = self.ledger.context.codec.encode(saga_id, version + 1, SagaCompleted(self.now, Raw(b"null")))
            self.backend.append(call_of([Append([new])]))

    def running(self) -> list[str]:
        rows = self.backend.read(0, limit=100_000, topics=("SagaStarted",))
        return [row.stream_id for row in rows if len(self.backend.stream(row.stream_id)) == 1]


def _day(tick: Tick) -> str:
    return tick.at.isoformat()


def all_ticks(until: datetime) -> set[datetime]:
    """The independent rule: every full ten minutes after the declaration."""
    first = NOON.replace(minute=10)
    return {first + n * TEN for n in range(int((until - first) / TEN) + 1)} if until >= first else set()


minutes = st.integers(0, 45).map(lambda count: timedelta(minutes=count))
actions = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), minutes),
        st.tuples(st.just("settle"), st.integers(0, 2)),
        st.tuples(st.just("rival"), st.integers(0, 1)),
        st.tuples(st.just("dies"), st.sampled_from(["before", "after"])),
        st.tuples(st.just("end"), st.none()),
    ),
    min_size=5,
    max_size=25,
)
jumps = st.lists(
    st.tuples(st.sampled_from([-90, -30, -1, 0, 0, 0, 1, 20, 59, 90, 400]), st.integers(0, 2)),
    min_size=3,
    max_size=12,
)
many = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def act(world: World, action: str, what: Any) -> None:
    """One thing that happens."""
    match action:
        case "pass":
            world.now += what
        case "settle":
            world.settle(what)
        case "rival":  # another worker is faster, just before this one appends
            world.backend.before = lambda: world.settle(2)
            world.settle(what)
            world.backend.before = None
        case "dies":  # in the middle of it, with or without its append; another one comes in its place
            world.backend.fails = what
            world.settle(0)
            world.backend.fails = None
            world.workers[0] = world.worker()
        case "end":
            world.end_running()


@given(actions)
@example([("pass", 2 * TEN), ("dies", "after"), ("pass", TEN), ("dies", "before"), ("pass", TEN), ("rival", 0)])
@many
def test_each_tick_starts_once_though_workers_compete_and_die(happens: list[tuple[str, Any]]) -> None:
    """Workers that compete, die and come back."""
    world = World()

    for action, what in happens:
        act(world, action, what)
    world.settle(1)

    assert world.started() == Counter(all_ticks(world.now))
    assert Counter(each.tick for each in world.events(ScheduleTickStarted)) == world.started()


@given(jumps)
@many
def test_each_tick_starts_once_whatever_clocks_say(happens: list[tuple[int, int]]) -> None:
    """A clock that is ahead starts ticks early, and never twice; one that is slow takes none away."""
    world = World()

    for ahead, number in happens:
        world.now += timedelta(minutes=25)
        world.settle(number, timedelta(minutes=ahead))
    furthest = max((world.started()), default=NOON)
    world.now = max(world.now, furthest)
    world.settle(0)

    started = world.started()
    assert set(started.values()) <= {1}
    assert all_ticks(world.now) == set(started)


@given(actions, st.sampled_from(["skip", "queue"]))
@example([("pass", 2 * TEN), ("dies", "after"), ("rival", 0), ("end", None), ("rival", 1)], "queue")
@example([("pass", TEN), ("rival", 0), ("pass", 2 * TEN), ("rival", 0), ("end", None), ("settle", 1)], "skip")
@example(
    [*2 * [("pass", TEN), ("settle", 0)], ("end", None), ("pass", TEN), ("settle", 1), ("pass", TEN), ("settle", 0)],
    "skip",
)
@many
def test_no_two_sagas_run_at_once_and_no_tick_goes_unsaid(happens: list[tuple[str, Any]], overlap: str) -> None:
    """Unless a schedule allows it. Each tick has started, waits, or was skipped."""
    world = World(overlap)

    for action, what in happens:
        act(world, action, what)
        assert len(world.running()) <= 1
    world.settle(1)

    started = Counter(each.tick for each in world.events(ScheduleTickStarted))
    skipped: Counter[datetime] = Counter()
    for each in world.events(ScheduleTicksSkipped):
        ticks = {tick for tick in all_ticks(each.last) if tick >= each.first}
        assert (each.ticks, each.why) == (len(ticks), SkipCause.OVERLAP)
        skipped.update(ticks)
    queued = Counter(each.tick for each in world.events(ScheduleTickQueued))
    waiting = queued - started
    assert started == world.started()
    assert started + skipped + waiting == Counter(all_ticks(world.now))
    assert not (skipped if overlap == "queue" else queued)


@given(st.lists(st.tuples(st.sampled_from(["pause", "resume", "settle", "none"]), minutes), min_size=4, max_size=20))
@many
def test_the_ticks_of_pauses_and_only_those_do_not_start(happens: list[tuple[str, timedelta]]) -> None:
    """Whether a worker runs or not."""
    world = World()
    schedules = world.ledger.schedules
    pauses: list[tuple[datetime, datetime]] = []
    begun: datetime | None = None

    for action, passed in happens:
        world.now += passed
        if action == "settle":
            world.settle(0)
        elif action != "none" and (action == "pause") == (begun is None):
            if begun is None:
                schedules.pause("nightly", actor="ann", reason="x")
                begun = world.now
            else:
                schedules.resume("nightly", actor="ann", reason="x")
                pauses.append((begun, world.now))
                begun = None
    if begun is not None:
        schedules.resume("nightly", actor="ann", reason="x")
        pauses.append((begun, world.now))
    world.settle(0)

    expected = {t for t in all_ticks(world.now) if not any(begin < t <= end for begin, end in pauses)}
    assert world.started() == Counter(expected)
    world.ledger.schedules.backfill("nightly", NOON - timedelta(hours=1), world.now, actor="ann", reason="all")
    world.settle(0)
    before = {NOON.replace(minute=0) - n * TEN for n in range(6)}
    assert world.started() == Counter(all_ticks(world.now) | {t for t in before if t >= NOON - timedelta(hours=1)})


@pytest.fixture
def world() -> World:
    return World()


def test_a_clock_that_was_a_day_ahead_takes_no_tick_away() -> None:
    """What it skipped starts in its time; what it started does not start again; what was late before stays so."""
    world = World(catch_up="latest")
    world.settle(0, timedelta(days=1))
    ahead = world.started()

    for _ in range(6):
        world.now += timedelta(minutes=5)
        world.settle(1)

    assert list(ahead) == [NOON.replace(minute=0) + timedelta(days=1)]
    assert world.started() == ahead + Counter(all_ticks(world.now))
    world.now += timedelta(days=2)
    world.settle(1)
    assert set(world.started().values()) == {1}


def test_an_input_that_cannot_be_made_is_on_record_and_can_be_backfilled(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The next tick starts all the same. Its text is in the log's traceback, not in the message."""
    fails = {NOON.replace(minute=10)}

    def day(tick: Tick) -> str:
        if tick.at in fails:
            raise SystemExit("no rates yet")
        return tick.at.isoformat()

    world.schedule._input = day
    world.now += 2 * TEN
    world.settle(0)

    [skipped] = world.events(ScheduleTicksSkipped)
    assert (skipped.first, skipped.why, skipped.detail) == (
        NOON.replace(minute=10),
        SkipCause.FAILED,
        "SystemExit: no rates yet",
    )
    assert set(world.started()) == {NOON.replace(minute=20)}
    [logged] = caplog.records
    assert logged.getMessage() == "schedule nightly starts nothing at 2026-03-01T12:10:00+00:00"
    assert logged.exc_info is not None
    assert (logged.exc_info[0], logged.schedule, logged.error_type) == (SystemExit, "nightly", "SystemExit")  # type: ignore[attr-defined]
    fails.clear()
    world.ledger.schedules.backfill("nightly", NOON, world.now, actor="ann", reason="rates are there")
    world.settle(0)
    assert world.started() == Counter(all_ticks(world.now))


def test_a_tick_that_fails_is_not_taken_for_a_saga_that_runs() -> None:
    """The next one that is due starts, although ticks of this schedule do not overlap."""

    def day(tick: Tick) -> str:
        if tick.at == NOON.replace(minute=10):
            raise ValueError
        return tick.at.isoformat()

    world = World("skip")
    world.schedule._input = day
    world.now += 2 * TEN
    world.settle(0)

    assert set(world.started()) == {NOON.replace(minute=20)}
    assert [each.why for each in world.events(ScheduleTicksSkipped)] == [SkipCause.FAILED]


@event("RoomOpened")
class RoomOpened(Event, frozen=True):
    """A room is in use."""

    room: str


class OpenRoom(Command, frozen=True):
    """Use a room, which may be done once."""

    room: str


def _opened(is_open: bool, command: OpenRoom, at: datetime) -> list[Event]:
    if is_open:
        raise Refused(f"room {command.room} is in use")
    return [RoomOpened(at, command.room)]


def test_a_participant_that_began_with_a_saga_refuses_it_no_second_time() -> None:
    """It would refuse the saga that is there, too, which is no failure; a refusal of another one is."""
    rooms = Participant(
        "room",
        initial=False,
        state_type=bool,
        events=[RoomOpened],
        commands={OpenRoom: lambda command: command.room},
        decide=_opened,
        evolve=lambda _state, _event: True,
    )
    cleaning = Saga("cleaning", input=str)
    cleaning.step(name="clean", compensable=False)(lambda value, _: value)
    cleaning.on_started(lambda room: [OpenRoom(room)])
    world = World()
    world.schedule = Schedule("nightly", cleaning, cron="*/10 * * * *", input="7", overlap="allow", catch_up="all")
    app = App(sagas=[cleaning], schedules=[world.schedule], participants=[rooms])
    world.ledger = Ledger(Backend(lambda: world.now), app, clock=SYSTEM_CLOCK._replace(now=lambda: world.now))
    starter = world.worker()
    starter.declare(world.schedule, world.now)
    world.ledger.start(cleaning, "7", key="nightly@2026-03-01T12:10:00Z")
    world.now += 2 * TEN
    starter.settle(world.schedule, world.now)

    assert [(each.why, each.detail) for each in world.events(ScheduleTicksSkipped)] == [
        (SkipCause.EXISTS, "saga cleaning-nightly@2026-03-01T12:10:00Z was there already"),
        (SkipCause.FAILED, "Refused: room 7 is in use"),
    ]


def test_a_saga_with_the_id_of_a_tick_counts_as_it(world: World) -> None:
    """It is not started again, and that is on record."""
    world.ledger.start(settle_it, "by hand", key="nightly@2026-03-01T12:10:00Z")
    world.now += TEN
    world.settle(0)

    [skipped] = world.events(ScheduleTicksSkipped)
    assert (skipped.why, skipped.detail) == (
        SkipCause.EXISTS,
        "saga settle-nightly@2026-03-01T12:10:00Z was there already",
    )
    assert not world.events(ScheduleTickStarted)


def test_a_long_schedule_is_read_from_its_snapshot(world: World) -> None:
    """A worker that comes later does not read years of ticks."""
    world.now += 600 * TEN
    world.settle(0)

    assert len(world.started()) == 600
    [snapshot] = world.backend.snapshots(["saga_schedule-nightly"])
    assert snapshot.version >= 500
    assert world.ledger.schedules.get("nightly").started == 600
    assert verify_snapshots(world.ledger.context) == []


def test_a_refusal_of_a_person_changes_nothing(world: World) -> None:
    """A pause of a schedule that is paused."""
    world.ledger.schedules.pause("nightly", actor="ann", reason="x")
    head = world.backend.head()

    with pytest.raises(Refused, match="paused already"):
        world.ledger.schedules.pause("nightly", actor="bob", reason="x")
    assert world.backend.head() == head
