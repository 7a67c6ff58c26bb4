"""Replaying dead letters: a person says that a parked event is to be tried again."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from ...domain.choreography.dead_letter import ReplayDelivery
from ...domain.recorded_event import Meta
from ..errors import WrongState
from ..event_store.port import AppendCall, Appended
from ..ledger.ledger import Ledger
from ..ledger.stream_cache import AppendBuilder, StreamCache

CONFLICTS_MAX = 10


def replay(ledger: Ledger, service: str, position: int, *, actor: str, reason: str) -> int:
    """Let a service try a parked event again; gives the position of that decision.

    Raises `Refused` when the event is not parked for the service, `WrongState` when others keep deciding about it.
    """
    stream_cache = StreamCache(ledger.app, ledger.backend, ledger.codec)
    for _ in range(CONFLICTS_MAX):
        [draft] = stream_cache.build([partial(_draft, ledger, stream_cache, service, position, actor, reason)])
        outcome = ledger.backend.append(AppendCall(uuid4(), [draft.append()])).outcomes[0]
        if isinstance(outcome, Appended):
            return outcome.last_position
        stream_cache.evict_all()
    raise WrongState(f"event {position} of service {service!r} is being decided about by others: try again")


def _draft(
    ledger: Ledger, stream_cache: StreamCache, service: str, position: int, actor: str, reason: str
) -> AppendBuilder:
    rows = ledger.backend.read(position - 1, limit=1, upto=position)
    process_id = rows[0].correlation_id or rows[0].stream_id if rows else ""
    draft = stream_cache.draft(process_id, Meta(actor=actor), causation_position=position)
    draft.handle([ReplayDelivery(service, position, actor, reason)], datetime.now(UTC))
    return draft
