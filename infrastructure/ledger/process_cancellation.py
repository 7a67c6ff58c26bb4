"""Cancelling a process without a coordinator: a person gives the command by which it turns back.

The event that this leads to is published like any other, and each service undoes what it did.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from ...domain.choreography.choreography import Choreography
from ...domain.choreography.derive import derive
from ...domain.choreography.derived_saga import Derived
from ...domain.participant import Refused
from ...domain.recorded_event import Meta
from ..errors import SagaNotFound, WrongState
from ..event_store.codec import Mapper
from ..event_store.port import AppendCall, Appended, Backend
from .app import App
from .stream_cache import Committer, Draft

CONFLICTS_MAX = 100


def cancel_process(
    app: App, log: Backend, mapper: Mapper, flow: Choreography, process_id: str, *, actor: str, reason: str
) -> int:
    """Turn a process back; gives the position of the event that does it.

    Raises `SagaNotFound`, and `WrongState` when it is over, turning back, past its pivot, or cannot be cancelled.
    """
    committer = Committer(app, log, mapper)
    for _ in range(CONFLICTS_MAX):
        refuse_unless_it_can_turn(flow, _read(flow, log, mapper, process_id))
        [draft] = committer.build([partial(_draft, committer, flow, process_id, actor, reason)])
        outcome = log.append(AppendCall(uuid4(), [draft.append()])).outcomes[0]
        if isinstance(outcome, Appended):
            return outcome.last_position
        committer.forget_all()
    raise WrongState(f"saga {process_id!r} moves too fast to be changed from outside: try again")


def refuse_unless_it_can_turn(flow: Choreography, derived: Derived) -> None:
    """Raise `WrongState` if a process cannot be cancelled, as it stands."""
    state = derived.state
    where = f"saga {state.saga_id!r} cannot be cancelled"
    if state.end is not None:
        raise WrongState(f"{where}: it is {state.status}")
    if flow.cancel is None:
        raise WrongState(f"{where}: its choreography {flow.name!r} declares no command for it (`cancel=`)")
    if state.past_pivot:
        raise WrongState(f"{where}: it is past its pivot, and only goes forward")
    if derived.turned_because is not None:
        raise WrongState(f"{where}: it is already turning back")


def _read(flow: Choreography, log: Backend, mapper: Mapper, process_id: str) -> Derived:
    derived = Derived.nothing(process_id)
    for row in log.correlated(process_id):
        derived, _ = derive(flow, derived, mapper.to_recorded(row))
    if derived.state.version == 0:
        raise SagaNotFound(process_id)
    return derived


def _draft(committer: Committer, flow: Choreography, process_id: str, actor: str, reason: str) -> Draft:
    assert flow.cancel is not None  # noqa: S101 -- it was asked before
    # In the name of the closing service, which thus knows of it whatever else reaches it first.
    draft = committer.draft(process_id, Meta(actor=actor, worker=flow.closing))
    try:
        draft.perform([flow.cancel(flow.key_of(process_id), reason)], datetime.now(UTC))
    except Refused as refusal:
        raise WrongState(f"saga {process_id!r} cannot be cancelled: {refusal}") from refusal
    if not draft.events:
        raise WrongState(f"saga {process_id!r} cannot be cancelled: that was done before")
    return draft
