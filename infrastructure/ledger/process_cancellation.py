"""Cancelling a process without a coordinator: a person gives the command by which it turns back.

The event that this leads to is published like any other, and each service undoes what it did.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from ...domain.choreography.choreography import Choreography
from ...domain.choreography.derive import derive
from ...domain.choreography.derived_saga import DerivedSaga
from ...domain.participant import Refused
from ...domain.recorded_event import Meta
from ..errors import SagaNotFound, WrongState
from ..event_store.codec import Codec
from ..event_store.port import AppendCall, Appended, Backend
from .app import App
from .stream_cache import AppendBuilder, StreamCache

CONFLICTS_MAX = 100


def cancel_process(
    app: App, log: Backend, codec: Codec, choreography: Choreography, process_id: str, *, actor: str, reason: str
) -> int:
    """Turn a process back; gives the position of the event that does it.

    Raises `SagaNotFound`, and `WrongState` when it is over, turning back, past its pivot, or cannot be cancelled.
    """
    stream_cache = StreamCache(app, log, codec)
    for _ in range(CONFLICTS_MAX):
        require_cancellable(choreography, _read(choreography, log, codec, process_id))
        [draft] = stream_cache.build([partial(_draft, stream_cache, choreography, process_id, actor, reason)])
        outcome = log.append(AppendCall(uuid4(), [draft.append()])).outcomes[0]
        if isinstance(outcome, Appended):
            return outcome.last_position
        stream_cache.evict_all()
    raise WrongState(f"saga {process_id!r} moves too fast to be changed from outside: try again")


def require_cancellable(choreography: Choreography, derived: DerivedSaga) -> None:
    """Raise `WrongState` if a process cannot be cancelled, as it stands."""
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


def _read(choreography: Choreography, log: Backend, codec: Codec, process_id: str) -> DerivedSaga:
    derived = DerivedSaga.nothing(process_id)
    for row in log.correlated(process_id):
        derived, _ = derive(choreography, derived, codec.decode(row))
    if derived.state.version == 0:
        raise SagaNotFound(process_id)
    return derived


def _draft(
    stream_cache: StreamCache, choreography: Choreography, process_id: str, actor: str, reason: str
) -> AppendBuilder:
    assert choreography.cancel is not None  # noqa: S101 -- it was asked before
    # In the name of the closing service, which thus knows of it whatever else reaches it first.
    draft = stream_cache.draft(process_id, Meta(actor=actor, worker=choreography.closing))
    try:
        draft.handle([choreography.cancel(choreography.key_of(process_id), reason)], datetime.now(UTC))
    except Refused as refusal:
        raise WrongState(f"saga {process_id!r} cannot be cancelled: {refusal}") from refusal
    if not draft.events:
        raise WrongState(f"saga {process_id!r} cannot be cancelled: that was done before")
    return draft
