"""How many sagas each version of a definition still holds, which tells when a version can be removed."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import func, select

from ...domain.saga.definition import Definition
from ...domain.saga.schema_changes import StructuralDifference
from ...domain.saga.structure_changes import breaking
from ...projections.saga.sagas import ENDED
from ..read_models.readable import readable
from .context import LedgerContext
from .definition_versions import recorded_differences


class VersionStatus(StrEnum):
    """Whether a version that is on record can be worked with the app in use."""

    REGISTERED = "registered"
    NOT_REGISTERED = "not_registered"
    CHANGED = "changed"
    """It is registered with another structure than the one on record, and its sagas cannot go on with it."""


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
    structures: Mapping[str, str] = MappingProxyType({})
    """The structures on record, by fingerprint; a ledger of version 0.1.0 has none."""

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the registered definition; None if there is none."""
        return None if self.registered is None else self.registered.fingerprint

    @property
    def status(self) -> VersionStatus:
        """Whether the version can be worked with the app in use."""
        if self.registered is None:
            return VersionStatus.NOT_REGISTERED
        if self.recorded_fingerprint is None:
            return VersionStatus.REGISTERED
        if not self.structures:
            same = self.recorded_fingerprint in self.registered.fingerprints
        else:
            same = not breaking(self.differences)
        return VersionStatus.REGISTERED if same else VersionStatus.CHANGED

    @property
    def differences(self) -> list[StructuralDifference]:
        """How the registered definition differs from the structures on record."""
        return [] if self.registered is None else recorded_differences(self.registered, self.structures)


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
    return DefinitionUsage(usage_of(context, counts), checkpoint.position)


def usage_of(context: LedgerContext, counts: Mapping[tuple[str, int], tuple[int, int]]) -> list[VersionUsage]:
    """Return every version that is registered, on record or counted. `counts`: its sagas, unfinished and in all."""
    registered = {(definition.name, definition.version): definition for definition in context.app.definitions}
    recorded = context.backend.fingerprints()
    structures = context.backend.structures()
    return [
        VersionUsage(*key, registered.get(key), recorded.get(key), *counts.get(key, (0, 0)), structures.get(key, {}))
        for key in sorted(registered.keys() | recorded.keys() | counts.keys())
    ]
