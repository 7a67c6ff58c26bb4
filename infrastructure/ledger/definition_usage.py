"""How many sagas each version of a definition still holds, which tells when a version can be removed."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import func, select

from ...domain.saga.definition import Definition
from ...projections.saga.sagas import ENDED
from ..read_models.readable import readable
from .context import LedgerContext


class VersionStatus(StrEnum):
    """Whether a version that is on record can be worked with the app in use."""

    REGISTERED = "registered"
    NOT_REGISTERED = "not_registered"
    CHANGED = "changed"
    """It is registered with another structure than the one on record."""


class VersionUsage(NamedTuple):
    """A version of a definition that is registered here, on record, or both."""

    name: str
    version: int
    registered: Definition | None
    """The definition that the app registers; None if it registers none."""
    recorded_fingerprint: str | None
    """The fingerprint that its sagas were started with; None if there are none."""
    unfinished: int
    sagas: int

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the registered definition; None if there is none."""
        return None if self.registered is None else self.registered.fingerprint

    @property
    def status(self) -> VersionStatus:
        """Whether the version can be worked with the app in use."""
        if self.registered is None:
            return VersionStatus.NOT_REGISTERED
        same = self.recorded_fingerprint is None or self.recorded_fingerprint in self.registered.fingerprints
        return VersionStatus.REGISTERED if same else VersionStatus.CHANGED


class DefinitionUsage(NamedTuple):
    """Every version of a definition, and the position of the view that counted their sagas."""

    versions: list[VersionUsage]
    as_of_position: int


def count_sagas(context: LedgerContext) -> DefinitionUsage:
    """Count the orchestrated sagas of every version that is registered or on record, by the view `sagas`."""
    sagas = context.queries.projection("sagas")
    row = sagas.table.c
    counted = (
        select(row.definition, row.version, func.count().filter(row.status.not_in(ENDED)), func.count())
        .where(row.style == "orchestrated")
        .group_by(row.definition, row.version)
    )
    counts: dict[tuple[str, int], tuple[int, int]] = {}
    with context.queries.snapshot(sagas) as (connection, checkpoint), readable(f"view {sagas.name}"):
        for name, version, unfinished, total in connection.execute(counted):
            counts[str(name), int(version)] = (unfinished, total)
    registered = {(definition.name, definition.version): definition for definition in context.app.definitions}
    recorded = context.backend.fingerprints()
    return DefinitionUsage(
        [
            VersionUsage(*key, registered.get(key), recorded.get(key), *counts.get(key, (0, 0)))
            for key in sorted(registered.keys() | recorded.keys() | counts.keys())
        ],
        checkpoint.position,
    )
