"""Cancelling a process without a coordinator: a person gives the command that aborts it.

The event that follows from the command is published like any other, and each service undoes what it did.
"""

from __future__ import annotations

from functools import partial

from ...domain.choreography.choreography import Choreography
from ...domain.choreography.derive import derive
from ...domain.choreography.derived_saga import DerivedSaga
from ...domain.participant import Refused
from ...domain.recorded_event import Meta
from ..errors import SagaNotFound, WrongState
from ..event_store.append_call import AppendCall
from .append_builder import AppendBuilder
from .context import LedgerContext
from .stream_cache import StreamCache
from .transact import call_of, last_position, transact


def cancel_process(
    context: LedgerContext, choreography: Choreography, process_id: str, *, actor: str, reason: str
) -> int:
    """Abort a process; returns the position of the event that does it.

    Raises `SagaNotFound`, and `WrongState` when it has ended, already turns back, is past its pivot, or declares no
    command for it.
    """
    stream_cache = StreamCache(context.app, context.backend, context.codec)

    def decide(_: int) -> AppendCall:
        derived = _read(context, choreography, process_id)
        if context.request is not None:
            context.request.require_version(process_id, derived.state.version)
        require_cancellable(choreography, derived)
        [draft] = stream_cache.build([partial(_draft, context, stream_cache, choreography, process_id, actor, reason)])
        return call_of([draft.append()])

    receipt = transact(context, decide, what=f"the cancellation of saga {process_id!r}", stream_cache=stream_cache)
    assert receipt is not None  # noqa: S101 -- a draft has events, or `_draft` raises
    return last_position(receipt)


def require_cancellable(choreography: Choreography, derived: DerivedSaga) -> None:
    """Raise `WrongState` if a process cannot be cancelled in its present state."""
    state = derived.state
    where = f"saga {state.saga_id!r} cannot be cancelled"
    if state.end is not None:
        raise WrongState(f"{where}: it is {state.status}")
    if choreography.cancel is None:
        raise WrongState(f"{where}: its choreography {choreography.name!r} declares no command for it (`cancel=`)")
    if state.past_pivot:
        raise WrongState(f"{where}: it is past its pivot, and only goes forward")
    if derived.abort_reason is not None:
        raise WrongState(f"{where}: it is already turning back")


def _read(context: LedgerContext, choreography: Choreography, process_id: str) -> DerivedSaga:
    derived = DerivedSaga.empty(process_id)
    for row in context.backend.correlated(process_id):
        derived, _ = derive(choreography, derived, context.codec.decode(row))
    if derived.state.version == 0:
        raise SagaNotFound(process_id)
    return derived


def _draft(
    context: LedgerContext,
    stream_cache: StreamCache,
    choreography: Choreography,
    process_id: str,
    actor: str,
    reason: str,
) -> AppendBuilder:
    assert choreography.cancel is not None  # noqa: S101 -- `require_cancellable` checked it
    # In the name of the ending service, which thus knows of it whatever else reaches it first.
    draft = stream_cache.draft(process_id, Meta(actor=actor, worker=choreography.ending_service))
    try:
        draft.handle([choreography.cancel(choreography.key_of(process_id), reason)], context.clock.now())
    except Refused as refusal:
        raise WrongState(f"saga {process_id!r} cannot be cancelled: {refusal}") from refusal
    if not draft.events:
        raise WrongState(f"saga {process_id!r} cannot be cancelled: that was done before")
    return draft
