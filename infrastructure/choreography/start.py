"""Starting processes in bulk: appends the first event of each, once, however often a start is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ...domain.participant import Command, Refused
from ...domain.recorded_event import Meta
from ..errors import SagaConflict
from ..event_store.append_call import AppendCall
from ..event_store.stream_id import check_stream_id
from ..ledger.append_builder import AppendBuilder
from ..ledger.context import HasContext, LedgerContext
from ..ledger.stream_cache import StreamCache
from ..ledger.transact import call_of, transact

BATCH_PROCESSES_MAX = 500


def start_processes(ledger: HasContext, starts: Sequence[tuple[str, Command]], *, actor: str) -> int:
    """Start processes, each given by its id and its first command; returns how many had not begun before.

    Raises `InvalidInput` for an id that no backend can store, `SagaConflict` when a process began with another command
    or a participant refuses because the command creates what another process created, and `TooContended`.
    """
    context = ledger.context
    for process_id, _ in starts:
        check_stream_id(process_id, "the id of process")
    if context.observer is None:
        return _start_all(context, starts, Meta(actor=actor))
    with context.observer.span("start processes", "producer", {"saga.processes": len(starts)}) as traceparent:
        return _start_all(context, starts, Meta(actor=actor, traceparent=traceparent))


def _start_all(context: LedgerContext, starts: Sequence[tuple[str, Command]], meta: Meta) -> int:
    batches = (starts[begin : begin + BATCH_PROCESSES_MAX] for begin in range(0, len(starts), BATCH_PROCESSES_MAX))
    return sum(_start_batch(context, batch, meta) for batch in batches)


def _start_batch(context: LedgerContext, starts: Sequence[tuple[str, Command]], meta: Meta) -> int:
    stream_cache = StreamCache(context.app, context.backend, context.codec)
    left = [start for start in starts if not _has_begun_so(context, *start)]
    new = len(left)

    def decide(attempt: int) -> AppendCall | None:
        wanted = [start for start in left if not (attempt and _has_begun_so(context, *start))]
        if not wanted:
            return None
        builders: list[Callable[[], AppendBuilder]] = [
            partial(_draft, context, stream_cache, meta, *start) for start in wanted
        ]
        return call_of([draft.append() for draft in stream_cache.build(builders)])

    transact(context, decide, what="the first events of processes", stream_cache=stream_cache)
    return new


def _has_begun_so(context: LedgerContext, process_id: str, command: Command) -> bool:
    """Whether a process has begun with this command. Raises `SagaConflict` if it began with another."""
    rows = context.backend.correlated(process_id, limit=1)
    if not rows:
        return False
    first = context.codec.decode(rows[0])
    participant = context.app.participant_for(command)
    if first.version == 1 and first.stream_id == participant.stream_of(command):
        decided = participant.decided(participant.initial, command, first.event.at)
        if decided and decided[0] != first.event:
            raise SagaConflict(
                f"{process_id!r} began with another {type(first.event).schema.name} at "
                f"{first.recorded_at.isoformat()}: use another key, or see `sagaledger show {process_id}`"
            )
    return True


def _draft(
    context: LedgerContext, stream_cache: StreamCache, meta: Meta, process_id: str, command: Command
) -> AppendBuilder:
    draft = stream_cache.draft(process_id, meta)
    try:
        draft.handle([command], context.clock.now())
    except Refused as refusal:
        raise SagaConflict(f"{process_id!r} cannot begin: {refusal}; another process began with it") from refusal
    return draft
