"""Verifying the work queue: its entries are those that the log implies, so that no saga waits unseen.

The queue moves while it is read. An entry or a saga counts as a problem only if it is one each time that it is looked
at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from threading import Event
from typing import Final

from ...domain.errors import InvalidInput
from ...domain.saga.evolve import rebuild
from ...domain.saga.state import SagaState
from ..event_store.codec import UnreadableEvent
from ..event_store.verify import PROBLEMS_MAX, Problem
from ..event_store.work_queue import QueueEntry
from .context import LedgerContext
from .queue_rule import want_of
from .unfinished_sagas import UnfinishedSagas

LOOKS: Final = 3
CLOCKS_APART_MAX: Final = timedelta(minutes=1)
"""How far the clock of this process may be from the database's."""


def verify_work_queue(context: LedgerContext) -> list[Problem]:
    """Return a problem for each saga whose entry is missing or is not what its events imply, at position 0."""
    unfinished = UnfinishedSagas(context.backend, context.codec)
    unfinished.read_on(Event())
    found: dict[str, str] = {}
    suspects: Collection[str] | None = None
    for _ in range(LOOKS):
        found = dict(_look(context, unfinished, suspects))
        suspects = found.keys()
        if not suspects:
            break
    return [Problem(0, f"work queue: {detail}") for _, detail in sorted(found.items())[:PROBLEMS_MAX]]


def _look(
    context: LedgerContext, unfinished: UnfinishedSagas, suspects: Collection[str] | None
) -> Iterator[tuple[str, str]]:
    """Yield each saga that has a problem, and which; only those of `suspects`, if there are any."""
    entries = {entry.saga_id: entry for entry in context.backend.entries()}
    workers = {worker.worker_id for worker in context.backend.workers()}
    for saga_id, entry in entries.items():
        if suspects is not None and saga_id not in suspects:
            continue
        if entry.worker_id is not None and entry.worker_id not in workers:
            yield saga_id, f"saga {saga_id!r} is held by {entry.worker_id!r}, which has no lease"
        elif saga_id not in unfinished and not _exists(context, saga_id):
            yield saga_id, f"saga {saga_id!r} has an entry, and the log has no such saga"
    wanted = unfinished.others_than(()) if suspects is None else [each for each in suspects if each in unfinished]
    for saga_id, state in _states(context, wanted):
        problem = _problem_of(context, unfinished, state, entries)
        if problem is not None:
            yield saga_id, problem


def _exists(context: LedgerContext, saga_id: str) -> bool:
    try:
        return bool(context.backend.stream(saga_id, upto=1))
    except InvalidInput:  # no text that an id can be: an edit put it in
        return False


def _problem_of(
    context: LedgerContext, unfinished: UnfinishedSagas, state: SagaState, entries: Mapping[str, QueueEntry]
) -> str | None:
    entry = entries.get(state.saga_id)
    definition = (state.definition, state.definition_version)
    if entry is not None and (entry.definition, entry.definition_version) != definition:
        return (
            f"saga {state.saga_id!r} has an entry for {entry.definition} version {entry.definition_version}, and began "
            f"with {state.definition} version {state.definition_version}"
        )
    now = context.clock.now()
    want = want_of(context.app, state, now, unfinished.__contains__)
    if want.due_at is None:
        return None
    if entry is None or entry.due_at is None:
        return f"saga {state.saga_id!r} has no entry, and wants a worker from {want.due_at.isoformat()} on"
    if entry.due_at > max(want.due_at, now) + CLOCKS_APART_MAX:
        return (
            f"saga {state.saga_id!r} is due at {entry.due_at.isoformat()}, and wants a worker from "
            f"{want.due_at.isoformat()} on"
        )
    return None


def _states(context: LedgerContext, saga_ids: Iterable[str]) -> Iterator[tuple[str, SagaState]]:
    """Yield the present state of each saga that this app can read."""
    for saga_id in saga_ids:
        try:
            events = [context.codec.decode(row).event for row in context.backend.stream(saga_id)]
        except UnreadableEvent:
            continue
        if events:
            yield saga_id, rebuild(saga_id, events)
