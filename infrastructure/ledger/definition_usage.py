"""How many sagas each version of a definition still holds: what says when a version may go."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import func, select

from ...projections.saga.sagas import ENDED
from .context import LedgerContext


class VersionUsage(NamedTuple):
    """A version of a definition: registered here, on record, or both."""

    name: str
    version: int
    registered: str | None
    """The fingerprint of the one registered here; None if none is."""
    recorded: str | None
    """The fingerprint that its sagas were started with; None if there are none."""
    unfinished: int
    sagas: int


class DefinitionUsage(NamedTuple):
    """The versions there are, and the position of the view that counted their sagas."""

    versions: list[VersionUsage]
    as_of_position: int


def count_sagas(context: LedgerContext) -> DefinitionUsage:
    """Every version that is registered or has sagas, with how many."""
    view = context.queries.projection("sagas")
    row = view.table.c
    counted = (
        select(row.definition, row.version, func.count().filter(row.status.not_in(ENDED)), func.count())
        .where(row.style == "orchestrated")
        .group_by(row.definition, row.version)
    )
    counts: dict[tuple[str, int], tuple[int, int]] = {}
    with context.queries.snapshot(view) as (connection, standing):
        for name, version, unfinished, sagas in connection.execute(counted):
            counts[name, version] = (unfinished, sagas)
    registered = {(d.name, d.version): d.fingerprint for d in context.app.definitions}
    recorded = context.backend.fingerprints()
    return DefinitionUsage(
        [
            VersionUsage(*key, registered.get(key), recorded.get(key), *counts.get(key, (0, 0)))
            for key in sorted(registered.keys() | recorded.keys() | counts.keys())
        ],
        standing.position,
    )
