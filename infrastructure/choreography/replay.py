"""Replaying a dead letter: a person decides that a service tries a parked event again."""

from __future__ import annotations

from functools import partial

from ...domain.choreography.dead_letter import ReplayDelivery
from ...domain.recorded_event import Meta
from ..event_store.append_call import AppendCall
from ..ledger.append_builder import AppendBuilder
from ..ledger.context import HasContext, LedgerContext
from ..ledger.stream_cache import StreamCache
from ..ledger.transact import call_of, last_position, transact


def replay(ledger: HasContext, service: str, position: int, *, actor: str, reason: str) -> int:
    """Let a service try a parked event again; returns the position of the event that records this decision.

    Raises `Refused` when the event is not parked for the service, `TooContended` when others keep deciding about it.
    """
    context = ledger.context
    stream_cache = StreamCache(context.app, context.backend, context.codec)
    command = ReplayDelivery(service, position, actor, reason)

    def decide(_: int) -> AppendCall:
        [draft] = stream_cache.build([partial(_draft, context, stream_cache, command)])
        return call_of([draft.append()])

    what = f"the replay of event {position} for service {service!r}"
    receipt = transact(context, decide, what=what, stream_cache=stream_cache)
    assert receipt is not None  # noqa: S101 -- a replay appends an event, or raises
    return last_position(receipt)


def _draft(context: LedgerContext, stream_cache: StreamCache, command: ReplayDelivery) -> AppendBuilder:
    position = command.position
    rows = context.backend.read(position - 1, limit=1, upto=position)
    process_id = rows[0].correlation_id or rows[0].stream_id if rows else ""
    draft = stream_cache.draft(process_id, Meta(actor=command.actor), causation_position=position)
    draft.handle([command], context.clock.now())
    return draft
