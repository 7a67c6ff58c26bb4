"""Beginning processes: the one event with which each starts, in bulk, once however often it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from ...domain.participant import Command, Refused
from ...domain.recorded_event import Meta
from ..errors import SagaConflict
from ..event_store.port import AppendCall, Appended
from ..ledger.ledger import Ledger
from ..ledger.stream_cache import AppendBuilder, StreamCache

BATCH_PROCESSES_MAX = 500
CONFLICTS_MAX = 100


def start_processes(ledger: Ledger, openings: Sequence[tuple[str, Command]], *, actor: str) -> int:
    """Begin processes, each by its id and the command that begins it; gives how many were new.

    Raises `SagaConflict` when the participant refuses because what the command creates belongs to another process.
    """
    stream_cache = StreamCache(ledger.app, ledger.backend, ledger.codec)
    meta = Meta(actor=actor)
    begun = 0
    for start in range(0, len(openings), BATCH_PROCESSES_MAX):
        left = list(openings[start : start + BATCH_PROCESSES_MAX])
        for _ in range(CONFLICTS_MAX):
            left = [saga_start for saga_start in left if not _is_begun(ledger, *saga_start)]
            if not left:
                break
            builders: list[Callable[[], AppendBuilder]] = [
                partial(_draft, stream_cache, meta, *saga_start) for saga_start in left
            ]
            drafts = stream_cache.build(builders)
            receipt = ledger.backend.append(AppendCall(uuid4(), [draft.append() for draft in drafts]))
            appended = sum(isinstance(outcome, Appended) for outcome in receipt.outcomes)
            begun += appended
            stream_cache.evict_all()
            if appended == len(drafts):
                break
        else:
            raise SagaConflict("processes could not be begun: others keep writing to their participants; run it again")
    return begun


def _is_begun(ledger: Ledger, process_id: str, _: Command) -> bool:
    return bool(ledger.backend.correlated(process_id, limit=1))


def _draft(stream_cache: StreamCache, meta: Meta, process_id: str, command: Command) -> AppendBuilder:
    draft = stream_cache.draft(process_id, meta)
    try:
        draft.handle([command], datetime.now(UTC))
    except Refused as refusal:
        raise SagaConflict(f"{process_id!r} cannot begin: {refusal}; another process began with it") from refusal
    return draft
