"""Verifying what a ledger records beside its log, as far as the log says what it must be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...domain.saga.events import SagaStarted
from ...domain.saga.fingerprint import fingerprint, structure_owner
from ..event_store.codec import UnreadableEvent
from ..event_store.definition_registry import Structures
from ..event_store.verify import PROBLEMS_MAX, Problem
from .context import LedgerContext

_ROWS_PER_READ: Final = 1_000
_FOREIGN_CONSUMERS: Final = "tracking-"
"""The names of consumers that track the log of another application begin with this."""


def verify_definitions(context: LedgerContext) -> list[Problem]:
    """Return a problem for each definition whose record is not that of its first saga, or contradicts itself.

    A definition without sagas may be on record: its fingerprint is recorded just before its first saga starts. That
    saga may be of another structure on record, if two programs that differ by an addition start sagas at that time.
    """
    first = _first_fingerprints(context)
    recorded = context.backend.fingerprints()
    structures = context.backend.structures()
    problems = [Problem(0, problem) for problem in _contradictions(structures)]
    for (name, version), (position, began_with) in sorted(first.items()):
        found = recorded.get((name, version))
        if found is None:
            problems.append(Problem(position, f"table definitions lacks {name} version {version}, which has sagas"))
        elif found != began_with and not {found, began_with} <= structures.get((name, version), {}).keys():
            problems.append(
                Problem(
                    position,
                    f"table definitions has the fingerprint {found} for {name} version {version}, and its first saga "
                    f"began with {began_with}",
                )
            )
    return problems[:PROBLEMS_MAX]


def _contradictions(structures: Structures) -> Iterator[str]:
    """Yield what is wrong with a row of the structures: each says whose it is, and has its own fingerprint."""
    for (name, version), recorded in sorted(structures.items()):
        for found, structure in sorted(recorded.items()):
            if fingerprint(structure) != found:
                yield f"table structures has a structure of {name} version {version} that is not that of {found}"
            elif structure_owner(structure) != (name, version):
                yield f"table structures has the structure {found} of another definition for {name} version {version}"


def verify_consumers(context: LedgerContext) -> list[Problem]:
    """Return a problem for each consumer of the log whose checkpoint is not a position of the log."""
    consumers = context.backend.consumers()
    head = context.backend.head().position
    return [
        Problem(0, f"consumer {consumer!r} has the checkpoint {position}, and the log ends at {head}")
        for consumer, position in consumers
        if position < 0 or (position > head and not consumer.startswith(_FOREIGN_CONSUMERS))
    ][:PROBLEMS_MAX]


def _first_fingerprints(context: LedgerContext) -> dict[tuple[str, int], tuple[int, str]]:
    """Return the position and the fingerprint of the first saga of each (name, version)."""
    found: dict[tuple[str, int], tuple[int, str]] = {}
    after = 0
    while rows := context.backend.read(after, limit=_ROWS_PER_READ, topics=(SagaStarted.schema.name,)):
        for row in rows:
            try:
                started = context.codec.decode(row).event
            except UnreadableEvent:
                continue
            if isinstance(started, SagaStarted):
                key = (started.definition, started.definition_version)
                found.setdefault(key, (row.position, started.fingerprint))
        after = rows[-1].position
    return found
