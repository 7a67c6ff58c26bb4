"""The schedules of a ledger: what is recorded of each, and what people decide about them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

from ...domain.errors import DefinitionError, InvalidInput
from ...domain.recorded_event import RecordedEvent
from ...domain.saga.step_kind import saga_id_of
from ...domain.schedule.decide import (
    TICKS_MAX,
    BackfillSchedule,
    PauseSchedule,
    ResumeSchedule,
    ScheduleCommand,
    TriggerSchedule,
)
from ...domain.schedule.events import (
    CatchUp,
    DeclaredSchedule,
    Overlap,
    ScheduleBackfilled,
    ScheduleTriggered,
    TickCause,
)
from ...domain.schedule.state import PendingTick, SchedulePause, ScheduleState
from ..event_store.instants import checked_in_utc
from .context import LedgerContext
from .schedule import key_of
from .schedule_streams import ScheduleStreams, coming_ticks, stream_of, timetable_in
from .timetable import EARLIEST
from .transact import last_position

NEXT_TICKS_MAX: Final = 1_000


class ScheduleInfo(NamedTuple):
    """What is recorded of a schedule, as the worker that declared it last has it."""

    name: str
    cron: str
    timezone: str
    saga: str
    saga_version: int
    overlap: Overlap
    catch_up: CatchUp
    catch_up_seconds: float | None
    declared: bool
    """Whether the app in use declares it. No worker with such an app starts a schedule that its app does not have."""
    paused: SchedulePause | None
    next_tick: datetime | None
    """None if it is paused, or its times cannot be computed here."""
    waiting: int
    """How many ticks wait to start: queued ones, triggers and backfills."""
    last_tick: datetime | None
    """The tick that started a saga last."""
    last_saga_id: str | None
    started: int
    """How many ticks started a saga."""
    skipped: int
    decided_through: datetime | None
    """Up to here it is decided what becomes of each tick."""
    declared_at: datetime | None


class Backfill(NamedTuple):
    """What a backfill asked for."""

    position: int | None
    """The position of its event, or a later one if all its ticks wait already; None if no tick was left to ask for."""
    ticks: Sequence[datetime]
    """The ticks whose sagas start; those that were started already are not among them."""


class Schedules:
    """The schedules of one open ledger: `ledger.schedules`.

    Deciding about a schedule needs no app. A worker whose app declares it does what was decided, within about a second.
    """

    def __init__(self, context: LedgerContext) -> None:
        self._context = context

    def list(self) -> Sequence[ScheduleInfo]:
        """Return every schedule that a worker ever declared, by name."""
        streams = ScheduleStreams(self._context)
        names = streams.names()
        states = streams.states(names)
        return [self._info(states[name]) for name in names]

    def get(self, name: str) -> ScheduleInfo:
        """Return one schedule. Raises `ScheduleNotFound`."""
        return self._info(ScheduleStreams(self._context).state(name))

    def next_ticks(self, name: str, count: int = 10) -> Sequence[datetime]:
        """Return the next ticks of a schedule's times, in UTC, whether it is paused or not.

        Raises `ScheduleNotFound`, and `DefinitionError` if they cannot be computed here.
        """
        if not 1 <= count <= NEXT_TICKS_MAX:
            raise InvalidInput(f"next_ticks(count={count!r}): use a whole number from 1 to {NEXT_TICKS_MAX:,}")
        state = ScheduleStreams(self._context).state(name)
        return list(islice(coming_ticks(state, self._context.clock.now()), count))

    def history(self, name: str, *, last: int | None = None) -> Sequence[RecordedEvent]:
        """Return the events of a schedule in order, all or so many of the `last`. Raises `ScheduleNotFound`."""
        version = ScheduleStreams(self._context).version(name)
        after = 0 if last is None else max(0, version - last)
        return [self._context.codec.decode(row) for row in self._context.backend.stream(stream_of(name), after=after)]

    def pause(self, name: str, *, actor: str, reason: str) -> int:
        """Stop a schedule's times until it is resumed; return the position of that event.

        Triggers and backfills still start. Raises `ScheduleNotFound`, and `Refused` if it is paused already.
        """
        return self._operate(PauseSchedule(name, actor, reason), actor)

    def resume(self, name: str, *, actor: str, reason: str) -> int:
        """Let a schedule go on; return the position of that event. The ticks of the pause do not start.

        Raises `ScheduleNotFound`, and `Refused` if it is not paused.
        """
        return self._operate(ResumeSchedule(name, actor, reason), actor)

    def trigger(self, name: str, *, actor: str, reason: str) -> str:
        """Ask for one saga now, beside the times; return the id that it will have.

        Unless the schedule allows overlaps, it waits for the saga that runs. Raises `ScheduleNotFound`, and `Refused`
        if very many wait already.
        """
        position = self._operate(TriggerSchedule(name, actor, reason), actor)
        [row] = self._context.backend.read(position - 1, limit=1)
        triggered = self._context.codec.decode(row).event
        assert isinstance(triggered, ScheduleTriggered)  # noqa: S101 -- it was written just now
        state = ScheduleStreams(self._context).state(name)
        return _saga_id(_declaration(state), name, PendingTick(triggered.at, TickCause.TRIGGER, triggered.number))

    def backfill(self, name: str, since: datetime, until: datetime, *, actor: str, reason: str) -> Backfill:
        """Ask for the sagas of the past ticks from `since` to `until`, both included; those that exist are left out.

        The times are those that the schedule has now. Unless it allows overlaps, one saga starts after the other.
        Ticks that are not decided yet start by themselves, and are left out too. Raises `ScheduleNotFound`,
        `InvalidInput` for more than 1,000 ticks, and `Refused` if too many wait already.
        """
        written = self._backfilled()
        if written is not None:
            return written
        begin = checked_in_utc(since, "since").astimezone(UTC)
        end = checked_in_utc(until, "until").astimezone(UTC)
        state = ScheduleStreams(self._context).state(name)
        through, now = state.decided_through, self._context.clock.now()
        asked = timetable_in(state).latest(max(begin, EARLIEST) - timedelta.resolution, min(end, now), TICKS_MAX + 1)
        if len(asked) > TICKS_MAX:
            raise InvalidInput(
                f"schedule {name!r} has more than {TICKS_MAX:,} ticks from {begin.isoformat()} to {end.isoformat()}: "
                "ask for fewer at a time"
            )
        decided = [tick for tick in asked if (through and tick <= through) or state.is_passed_over(tick)]
        ticks = tuple(self._without_existing(state, decided))
        if not ticks:
            return Backfill(None, ())
        return Backfill(self._operate(BackfillSchedule(name, ticks, actor, reason), actor), ticks)

    def _backfilled(self) -> Backfill | None:
        """Return what the request that is answered asked for before; None if it did not, or if there is none."""
        request = self._context.request
        receipt = None if request is None else request.receipt(self._context.backend)
        if receipt is None:
            return None
        position = last_position(receipt)
        [row] = self._context.backend.read(position - 1, limit=1)
        event = self._context.codec.decode(row).event
        assert isinstance(event, ScheduleBackfilled)  # noqa: S101 -- the fingerprint is that of this request
        return Backfill(position, event.ticks)

    def _operate(self, command: ScheduleCommand, actor: str) -> int:
        streams = ScheduleStreams(self._context)
        streams.state(command.schedule)
        position = streams.append(command.schedule, [command], actor=actor)
        return self._context.backend.head().position if position is None else position

    def _without_existing(self, state: ScheduleState, ticks: Sequence[datetime]) -> Sequence[datetime]:
        declaration = _declaration(state)
        ids = {tick: _saga_id(declaration, state.name, PendingTick(tick)) for tick in ticks}
        rows = self._context.backend.digests([(saga_id, 1) for saga_id in ids.values()]) if ids else {}
        return [tick for tick, saga_id in ids.items() if saga_id not in rows]

    def _info(self, state: ScheduleState) -> ScheduleInfo:
        declaration = _declaration(state)
        return ScheduleInfo(
            state.name,
            declaration.cron,
            declaration.timezone,
            declaration.saga,
            declaration.saga_version,
            declaration.overlap,
            declaration.catch_up,
            declaration.catch_up_seconds,
            any(schedule.name == state.name for schedule in self._context.app.schedules),
            state.paused,
            self._next_tick(state),
            len(state.pending),
            state.last_tick,
            state.last_saga_id,
            state.started,
            state.skipped,
            state.decided_through,
            state.declared_at,
        )

    def _next_tick(self, state: ScheduleState) -> datetime | None:
        if state.paused is not None:
            return None
        try:
            return next(coming_ticks(state, self._context.clock.now()), None)
        except DefinitionError:  # no library or no time zones here: everything else can be shown
            return None


def _declaration(state: ScheduleState) -> DeclaredSchedule:
    assert state.declaration is not None  # noqa: S101 -- a schedule without one is not found
    return state.declaration


def _saga_id(declaration: DeclaredSchedule, name: str, tick: PendingTick) -> str:
    return saga_id_of(declaration.saga, key_of(name, tick))
