"""Starting many sagas at once: as many as fit in one append call, each all or nothing, none waiting for another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from ...domain.errors import DefinitionError, SagaledgerError
from ...domain.recorded_event import Meta
from ..errors import OutcomeUnknown, TooContended, Unavailable
from ..event_store.append_call import APPEND_EVENTS_MAX, Append, AppendCall, Appended, AppendIdTaken, Receipt
from ..runtime.observer import NO_FACTS, Observer
from .append_builder import CachedState, NotDecidableYet
from .context import LedgerContext
from .observing import observed
from .saga_start import SagaStart, Started
from .stream_cache import StreamCache
from .transact import TRIES_MAX, call_of

STARTS_MAX: Final = 500
"""The most sagas of one batch."""

StartOutcome: TypeAlias = Started | SagaledgerError


class _Draft(NamedTuple):
    """The append that starts one saga."""

    number: int
    append: Append
    overlay: Mapping[str, CachedState]


def start_many(context: LedgerContext, starts: Sequence[SagaStart]) -> list[StartOutcome]:
    """Start sagas, or find those that were started with the same input; return the outcome of each, in order.

    A start that fails is an outcome, and the others go on. The same start again is the same saga, so a batch whose
    answer was lost is simply sent again. Raises `RequestKeyReused`; `Unavailable` and `OutcomeUnknown`, and then some
    may have started.
    """
    if context.request is not None:
        context.request.receipt(context.backend)
    starts = [_traced(context, each) for each in starts]
    outcomes: dict[int, StartOutcome] = {}
    for number, saga_start in enumerate(starts):
        try:
            context.definition_versions.pin_fingerprint(saga_start.definition)
        except DefinitionError as error:
            outcomes[number] = error
    stream_cache = StreamCache(context.app, context.backend, context.codec)
    for _ in range(TRIES_MAX):
        waiting = {number: each for number, each in enumerate(starts) if number not in outcomes}
        if not waiting:
            break
        outcomes |= _existing(context, waiting)
        outcomes |= _started(context, stream_cache, {n: each for n, each in waiting.items() if n not in outcomes})
    if context.observer is not None:
        _tell(context, context.observer, starts, outcomes)
    return [outcomes.get(number) or TooContended(f"saga {each.saga_id!r}") for number, each in enumerate(starts)]


def _traced(context: LedgerContext, saga_start: SagaStart) -> SagaStart:
    """Return a start with the trace in which its saga runs."""
    if context.observer is None:
        return saga_start
    name = saga_start.definition.name
    with context.observer.starts(name, saga_start.saga_id, saga_start.traceparent) as traceparent:
        return saga_start._replace(traceparent=traceparent)


def _tell(
    context: LedgerContext, observer: Observer, starts: Sequence[SagaStart], outcomes: Mapping[int, StartOutcome]
) -> None:
    """Tell an observer of the sagas that were started."""
    now = context.clock.now()
    created = [starts[n] for n, each in outcomes.items() if isinstance(each, Started) and each.created]
    told = [(each.saga_id, each.definition.name, None, None, [each.fact(now)]) for each in created]
    observer.appended(told, NO_FACTS)


def _existing(context: LedgerContext, starts: Mapping[int, SagaStart]) -> dict[int, StartOutcome]:
    """Return the outcomes of starts whose sagas exist."""
    found = context.backend.digests([(each.saga_id, 1) for each in starts.values()])
    outcomes: dict[int, StartOutcome] = {}
    for number, each in starts.items():
        if each.saga_id in found:
            try:
                [row] = context.backend.stream(each.saga_id, upto=1)
                outcomes[number] = each.already([context.codec.decode(row)])
            except (Unavailable, OutcomeUnknown):
                raise
            except SagaledgerError as error:
                outcomes[number] = error
    return outcomes


def _started(
    context: LedgerContext, stream_cache: StreamCache, starts: Mapping[int, SagaStart]
) -> dict[int, StartOutcome]:
    """Start sagas; return the outcomes of those that were decided. A saga that is named twice is started once."""
    outcomes: dict[int, StartOutcome] = {}
    drafts: list[_Draft] = []
    now = context.clock.now()

    def draft(number: int, saga_start: SagaStart) -> None:
        try:
            meta = Meta(actor=saga_start.actor, traceparent=saga_start.traceparent)
            builder = stream_cache.draft(saga_start.saga_id, meta)
            saga_start.record(builder, now)
        except (NotDecidableYet, Unavailable):
            raise
        except SagaledgerError as error:
            if not context.backend.stream(saga_start.saga_id, upto=1):  # otherwise it was started just now
                outcomes[number] = error
            return
        stream_cache.stage(builder.overlay)
        drafts.append(_Draft(number, builder.append(saga_start.due(now, None)), builder.overlay))

    first = {each.saga_id: number for number, each in reversed(list(starts.items()))}
    stream_cache.build([partial(draft, number, starts[number]) for number in sorted(first.values())])
    for part in _calls(drafts):
        receipt = _append(context, call_of([each.append for each in part]))
        for each, outcome in zip(part, receipt.outcomes, strict=True):
            if isinstance(outcome, Appended):
                stream_cache.confirm(each.overlay)
                outcomes[each.number] = Started(starts[each.number].saga_id, outcome.last_position, created=True)
    if len(outcomes) < len(starts):
        stream_cache.evict_all()
    return outcomes


def _append(context: LedgerContext, call: AppendCall) -> Receipt:
    """Append a call; the first one on behalf of a request has its id, by which another request under it is refused."""
    request = context.request
    append = context.backend.append if context.observer is None else observed(context.observer, context.backend)
    if request is None or request.receipt(context.backend) is not None:
        return append(call)
    try:
        return append(request.signed(call))
    except AppendIdTaken:  # by the same request, which another thread or process makes at this moment
        return append(call)


def _calls(drafts: Sequence[_Draft]) -> Iterator[list[_Draft]]:
    """Divide appends into calls that the log takes."""
    part: list[_Draft] = []
    events = 0
    for each in drafts:
        events += len(each.append.events)
        if part and events > APPEND_EVENTS_MAX:
            yield part
            part, events = [], len(each.append.events)
        part.append(each)
    if part:
        yield part
