"""Rehearses a saga without a database: the real definition, the real decisions, and a clock that jumps.

It is for tests of your own sagas: given what participants have recorded and which attempts fail, when the saga runs,
then check its events. Waits for retries take no time.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from msgspec import Raw
from msgspec.structs import replace

from ...domain.event import Event
from ...domain.participant import Command, Participant
from ...domain.recorded_event import Meta
from ...domain.saga.decision import Attempt
from ...domain.saga.events import Direction
from ...domain.saga.outcome import AttemptOutcome, Success, failure_of
from ...domain.saga.saga import Saga
from ...domain.saga.state import SagaState
from ...domain.saga.step import AnyStep
from ...domain.saga.step_context import StepContext
from ..event_store.codec import Codec
from ..event_store.event_log import Snapshot
from ..event_store.event_row import NewEvent, StoredRow
from ..ledger.app import App
from ..ledger.saga_start import SagaStart
from ..ledger.stream_cache import StreamCache
from ..worker.group_commit.transition import Transition, context_of
from ..worker.held_sagas import HeldSaga

TRANSITIONS_MAX = 10_000
NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)

I = TypeVar("I")  # noqa: E741 -- the saga's input, as the documentation calls it

Failures = Mapping[str | tuple[str, Direction], BaseException | Sequence[BaseException]]
"""Which attempts raise: for a step's action, or for one direction of a step, one error for every attempt, or a sequence
with one error for each of the first attempts."""


class Rehearsal(NamedTuple):
    """The outcome of a rehearsed saga."""

    state: SagaState
    saga_events: list[Event]
    """The saga's own events, in order."""
    participant_events: list[tuple[str, Event]]
    """The events that participants recorded, in order, each with its stream id."""
    attempts: list[Attempt]
    """Every attempt at a step that calls a service, in order."""

    @property
    def facts(self) -> list[Event]:
        """The saga's own events, by the name that they had in version 0.1."""
        return self.saga_events

    @property
    def events(self) -> list[tuple[str, Event]]:
        """The events that participants recorded, by the name that they had in version 0.1."""
        return self.participant_events


def rehearse(
    saga: Saga[I],
    value: I,
    *,
    participants: Iterable[Participant[Any]] = (),
    given: Iterable[tuple[str, Sequence[Event]]] = (),
    fail: Failures | None = None,
    results: Mapping[str, Any] | None = None,
) -> Rehearsal:
    """Run a saga in memory until it ends or needs a person.

    - `given`: the events that streams of participants hold at the start, by stream id;
    - `fail`: attempts that raise instead of running: `{"charge": StepRejected("declined")}`;
    - `results`: results that replace running a step: `{"charge": Receipt("r-1")}`.

    Raises what `Ledger.start` raises for an input that does not fit.
    """
    in_memory = _InMemoryRun(saga, participants, given, fail or {}, results or {})
    saga_start = SagaStart.of(saga.definition, value, "rehearsal", actor="rehearsal")
    with ThreadPoolExecutor(1) as thread:  # the caller may be running an event loop of its own
        return thread.submit(lambda: asyncio.run(in_memory.rehearse(saga_start))).result()


def rehearse_each_failure(
    saga: Saga[I], value: I, error: BaseException, **arrangement: Any
) -> Iterator[tuple[str, Rehearsal]]:
    """Rehearse a saga once for each of its steps, with every attempt at that step failing."""
    for step in saga.definition.steps:
        yield step.name, rehearse(saga, value, fail={step.name: error}, **arrangement)


class _Streams:
    """The part of a log that a stream cache needs, in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, list[StoredRow]] = defaultdict(list)
        self.position = 0

    def add(self, new: NewEvent, at: datetime) -> None:
        self.position += 1
        self.rows[new.stream_id].append(new.stored(self.position, at))

    def snapshots(self, _: Sequence[str]) -> list[Snapshot]:
        return []

    def put_snapshots(self, _: Sequence[Snapshot]) -> None:
        return

    def digests(self, _: Sequence[tuple[str, int]]) -> dict[str, bytes]:
        return {}

    def streams(self, after: Sequence[tuple[str, int]]) -> list[StoredRow]:
        return [row for stream_id, version in after for row in self.rows[stream_id] if row.version > version]


class _Plan(NamedTuple):
    """Which attempts fail, and which results replace running a step."""

    fail: Failures
    results: Mapping[str, Any]

    def raise_planned(self, step: str, direction: Direction, attempt: int) -> None:
        """Raise the error that is planned for this attempt, if there is one."""
        planned = self.fail.get((step, direction))
        if planned is None and direction is Direction.FORWARD:
            planned = self.fail.get(step)
        if isinstance(planned, BaseException):
            raise planned
        if planned is not None and attempt <= len(planned):
            raise planned[attempt - 1]


class _RehearsedTransition(Transition, kw_only=True):
    """A transition whose local steps fail as planned."""

    plan: _Plan

    def invoke(self, step: AnyStep, context: StepContext, value: Any) -> Sequence[Command]:
        self.plan.raise_planned(context.step, context.direction, context.attempt)
        return super().invoke(step, context, value)


class _Heartbeats:
    """Keeps the latest progress of one attempt; a rehearsal ends no attempt for being silent, or unwanted."""

    cancelled = False

    def __init__(self) -> None:
        self.latest: Raw | None = None

    def heard(self, progress: Raw | None) -> None:
        self.latest = progress or self.latest


class _InMemoryRun:
    """One saga with its participants' streams, and a clock of its own."""

    def __init__(
        self,
        saga: Saga[Any],
        participants: Iterable[Participant[Any]],
        given: Iterable[tuple[str, Sequence[Event]]],
        fail: Failures,
        results: Mapping[str, Any],
    ) -> None:
        app = App(sagas=[saga], participants=participants)
        self._codec = Codec(app.registry)
        self._streams = _Streams()
        self._stream_cache = StreamCache(app, self._streams, self._codec)
        self._plan = _Plan(fail, results)
        self._now = NOON
        self._saga_events: list[Event] = []
        self._participant_events: list[tuple[str, Event]] = []
        self._attempts: list[Attempt] = []
        for stream_id, events in given:
            for version, event in enumerate(events, 1):
                self._streams.add(self._codec.encode(stream_id, version, event), NOON)

    async def rehearse(self, saga_start: SagaStart) -> Rehearsal:
        """Perform transitions until the saga ends or waits for a person or a signal."""
        held = HeldSaga(saga_start.saga_id, saga_start.definition, SagaState(saga_start.saga_id), None)
        held.saga_start = saga_start
        for _ in range(TRANSITIONS_MAX):
            transition = self._transition(held)
            for attempt in transition.dispatch:
                self._attempts.append(attempt)
                held.outcomes.append((attempt, await self._make(held, attempt)))
            if held.outcomes or transition.more:
                continue
            if transition.wake_at is None:
                return Rehearsal(held.state, self._saga_events, self._participant_events, self._attempts)
            self._now = max(self._now, transition.wake_at)
        raise AssertionError(f"the saga did not end within {TRANSITIONS_MAX} transitions")

    def _transition(self, held: HeldSaga) -> Transition:
        self._now += timedelta(milliseconds=1)

        def build() -> Transition:
            draft = self._stream_cache.draft(held.saga_id, Meta())
            return _RehearsedTransition(
                held,
                held.definition,
                held.state,
                draft,
                "rehearsal",
                self._now,
                draining=False,
                plan=self._plan,
            ).build()

        [transition] = self._stream_cache.build([build])
        self._stream_cache.stage(transition.draft.overlay)
        for new in transition.draft.events:
            self._streams.add(new, self._now)
            event = self._codec.decode(self._streams.rows[new.stream_id][-1]).event
            if new.stream_id == held.saga_id:
                self._saga_events.append(event)
            else:
                self._participant_events.append((new.stream_id, event))
        transition.settle(None)
        return transition

    async def _make(self, held: HeldSaga, attempt: Attempt) -> AttemptOutcome:
        """Make an attempt at a step that calls a service, unless its error or its result is planned."""
        definition = held.definition
        step = definition.step(attempt.step)
        heartbeats = _Heartbeats()
        try:
            self._plan.raise_planned(attempt.step, attempt.direction, attempt.attempt)
            if attempt.direction is Direction.FORWARD and attempt.step in self._plan.results:
                result = self._plan.results[attempt.step]
            else:
                context = replace(context_of(definition, held.state, attempt), listener=heartbeats)
                result = step.invoke(context, definition.read_argument(held.state, attempt.step))
                if inspect.isawaitable(result):
                    result = await result
            return Success(step.write_result(attempt.direction, result))
        except BaseException as error:  # noqa: BLE001 -- as in a worker, whatever a step raises is its outcome
            return failure_of(error, policies=step.policies_of(attempt.direction))
        finally:
            if heartbeats.latest is not None:
                held.reports = {**(held.reports or {}), attempt: heartbeats.latest}
