"""The port to the record of definitions: the structure of each version when its first saga started, and since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

Structures: TypeAlias = Mapping[tuple[str, int], Mapping[str, str]]
"""For each (name, version), its recorded structures as JSON, by fingerprint."""


class DefinitionRegistry(Protocol):
    """Which fingerprint each version of a definition had when its first saga started, and which structures since."""

    def fingerprints(self) -> dict[tuple[str, int], str]:
        """Return the recorded fingerprint of each (name, version)."""
        ...

    def record_fingerprint(self, name: str, version: int, fingerprint: str) -> str:
        """Record a fingerprint unless one is recorded already, and return the recorded one."""
        ...

    def structures(self) -> Structures:
        """Return the recorded structures; none if the database is of a version that has no place for them."""
        ...

    def record_structure(self, name: str, version: int, fingerprint: str, structure: str) -> None:
        """Record a structure unless it is recorded already, or the database has no place for it."""
        ...
