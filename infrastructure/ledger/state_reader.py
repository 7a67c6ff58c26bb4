"""Reading sagas: what was recorded of one, its state at any moment, and the states of many at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from ...domain.errors import CorruptEvent, InvalidInput, UnknownEvent
from ...domain.event import Event
from ...domain.recorded_event import RecordedEvent
from ...domain.saga.event_parts import WaitKind
from ...domain.saga.events import SagaStarted, StepStarted
from ...domain.saga.evolve import fold_all, rebuild
from ...domain.saga.state import SagaState
from ...domain.saga.step_kind import is_sub_saga
from ..errors import AppPartMissing, SagaNotFound, TimedOut
from ..event_store.event_row import EventPayload
from ..event_store.instants import checked_timeout
from ..event_store.stream_id import check_stream_id
from ..read_models.saga_deriver import process_history
from .context import LedgerContext
from .moment import AnyMoment, Moment, SagaMoment, moment_of, saga_moment

SAGAS_PER_READ = 100
WAIT_SECONDS_MAX = 1.0
"""How long a wait for a saga listens for news of the log before it looks at the clock again."""


def check_saga_id(saga_id: str) -> None:
    """Raise `SagaNotFound` for what cannot be the id of any saga, because no backend could store it."""
    if not isinstance(saga_id, str):
        raise SagaNotFound(repr(saga_id))
    try:
        check_stream_id(saga_id, "the id of saga")
    except InvalidInput as error:
        raise SagaNotFound(saga_id) from error


def history(
    context: LedgerContext, saga_id: str, *, participants: bool = True, at: AnyMoment | None = None
) -> list[RecordedEvent]:
    """Everything that was recorded of a saga, now or up to a moment, in order.

    Unless told otherwise, this includes the events of its participants and of the sagas that are steps of it. The
    events of a choreographed saga are derived: each follows the event that means it, at that event's position.

    Raises `SagaNotFound`, also for a moment before the saga began, and `InvalidInput` for what is no moment of it.
    """
    if at is None:
        return _history(context, saga_id, participants=participants)
    moment = moment_of(context, at)
    found = _history(context, saga_id, participants=participants)
    own = [recorded for recorded in found if recorded.stream_id == saga_id]
    then = saga_moment(context, saga_id, own, moment)
    return [recorded for recorded in found if then.includes(saga_id, recorded)]


def _history(context: LedgerContext, saga_id: str, *, participants: bool) -> list[RecordedEvent]:
    if not participants:
        return saga_events(context, saga_id)
    check_saga_id(saga_id)
    if context.app.choreography_of(saga_id) is not None:
        return _process(context, saga_id)
    found: list[RecordedEvent] = []
    processes: list[tuple[str, str | None]] = [(saga_id, None)]
    for process, parent in processes:
        events = [context.codec.decode(row) for row in context.backend.correlated(process)]
        if parent is None or _was_started_by(events, process, parent):
            found += events
            steps = (_sub_saga_of(recorded.event) for recorded in events)
            processes += ((step, process) for step in dict.fromkeys(steps) if step is not None)
    if not any(recorded.stream_id == saga_id for recorded in found):
        raise _missing(context, saga_id)
    return sorted(found, key=lambda recorded: recorded.position)


def saga_events(context: LedgerContext, saga_id: str) -> list[RecordedEvent]:
    """A saga's own events, in order. Raises `SagaNotFound`."""
    check_saga_id(saga_id)
    if context.app.choreography_of(saga_id) is not None:
        return [recorded for recorded in _process(context, saga_id) if recorded.stream_id == saga_id]
    recorded = [context.codec.decode(row) for row in context.backend.stream(saga_id)]
    if not recorded or not isinstance(recorded[0].event, SagaStarted):
        raise _missing(context, saga_id)
    return recorded


def state_now(context: LedgerContext, saga_id: str) -> SagaState:
    """A saga's present state. Raises `SagaNotFound`."""
    return rebuild(saga_id, (recorded.event for recorded in saga_events(context, saga_id)))


def state_at(context: LedgerContext, saga_id: str, at: AnyMoment) -> SagaState:
    """A saga's state at a moment. Raises as `history` does."""
    return state_then(context, saga_id, moment_of(context, at))[0]


def state_then(context: LedgerContext, saga_id: str, at: Moment | None) -> tuple[SagaState, SagaMoment | None]:
    """A saga's state at a moment, with what that moment is for the saga; its present state for None."""
    if at is None:
        return state_now(context, saga_id), None
    recorded = saga_events(context, saga_id)
    then = saga_moment(context, saga_id, recorded, at)
    return rebuild(saga_id, (each.event for each in recorded[: then.version])), then


def states(context: LedgerContext, saga_ids: Iterable[str]) -> Iterator[SagaState]:
    """The states of many sagas, in the order given.

    Raises `SagaNotFound` for the first that does not exist, when its turn comes, `UnreadableEvent`, `Unavailable`.
    """
    wanted = list(saga_ids)
    for saga_id in wanted:
        check_saga_id(saga_id)
    choreography_of = context.app.choreography_of
    orchestrated = _orchestrated_states(context, [saga_id for saga_id in wanted if choreography_of(saga_id) is None])
    for saga_id in wanted:
        yield next(orchestrated) if choreography_of(saga_id) is None else state_now(context, saga_id)


def wait(context: LedgerContext, saga_id: str, timeout_seconds: float) -> SagaState:
    """Block until a saga has ended or needs a person, and return its state then.

    Raises `SagaNotFound`, and `TimedOut` with the saga's status at that moment.
    """
    clock = context.clock
    deadline = clock.monotonic() + checked_timeout(timeout_seconds, "timeout_seconds")
    state = state_now(context, saga_id)
    while state.end is None and not state.interventions:
        head = context.backend.head().position
        news = _events_beyond(context, saga_id, state.version)
        if news:
            state = fold_all(state, news)
            continue
        remaining = deadline - clock.monotonic()
        if remaining <= 0:
            raise TimedOut(f"saga {saga_id!r} is still {state.status} after {timeout_seconds:g} seconds")
        context.backend.wait_beyond(head, min(remaining, WAIT_SECONDS_MAX))
    return state


def _events_beyond(context: LedgerContext, saga_id: str, version: int) -> list[Event]:
    if context.app.choreography_of(saga_id) is not None:
        return [recorded.event for recorded in saga_events(context, saga_id)[version:]]
    return [context.codec.decode(row).event for row in context.backend.stream(saga_id, after=version)]


def _process(context: LedgerContext, saga_id: str) -> list[RecordedEvent]:
    """Every event of a choreographed process, each followed by the saga's events that it means."""
    choreography = context.app.choreography_of(saga_id)
    rows = context.backend.correlated(saga_id)
    if choreography is None or not rows:
        raise SagaNotFound(saga_id)
    return process_history(choreography, saga_id, [context.codec.decode(row) for row in rows])


def _missing(context: LedgerContext, saga_id: str) -> SagaNotFound | AppPartMissing:
    """Return why a saga cannot be read: it does not exist, or the app lacks the choreography that derives it."""
    first = context.backend.correlated(saga_id, limit=1)
    if first and first[0].stream_id != saga_id:
        return AppPartMissing(f"the state of saga {saga_id!r}, which has no coordinator,", "its choreography")
    return SagaNotFound(saga_id)


def _was_started_by(events: Sequence[RecordedEvent], saga_id: str, parent_id: str) -> bool:
    """Whether a saga is a step of its presumed parent: its id alone does not say so."""
    begun = (recorded.event for recorded in events if recorded.stream_id == saga_id)
    return any(isinstance(event, SagaStarted) and is_sub_saga(event.parent, parent_id) for event in begun)


def _sub_saga_of(event: Event) -> str | None:
    """The id of the saga that begins with this step, if the step is one."""
    wait_ = event.wait if isinstance(event, StepStarted) else None
    return wait_.target if wait_ is not None and wait_.kind is WaitKind.SAGA else None


def _orchestrated_states(context: LedgerContext, saga_ids: Sequence[str]) -> Iterator[SagaState]:
    """The states of orchestrated sagas; a server reads the next ones while these are folded."""
    parts = [saga_ids[begin : begin + SAGAS_PER_READ] for begin in range(0, len(saga_ids), SAGAS_PER_READ)]
    for part, payloads in zip(parts, context.backend.payloads(parts), strict=True):
        folded = _folded(context, payloads)
        for saga_id in part:
            if saga_id not in folded:
                raise SagaNotFound(saga_id)
            yield folded[saga_id]


def _folded(context: LedgerContext, payloads: Sequence[EventPayload]) -> Mapping[str, SagaState]:
    decode = context.codec.decode_payload
    found: dict[str, SagaState] = {}
    for saga_id, stream in groupby(payloads, key=itemgetter(0)):
        try:
            state = rebuild(saga_id, (decode(topic, version, stored) for _, topic, version, stored in stream))
        except (UnknownEvent, CorruptEvent):
            saga_events(context, saga_id)  # raises the same error, with the position of the event
            raise
        if state.started_at is not None:  # only a saga's stream has such an event
            found[saga_id] = state
    return found
