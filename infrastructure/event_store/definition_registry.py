"""The port to the record of definitions: the structure of each version when its first saga started."""

from __future__ import annotations

from typing import Protocol


class DefinitionRegistry(Protocol):
    """Which fingerprint each version of a definition had when its first saga started."""

    def fingerprints(self) -> dict[tuple[str, int], str]:
        """Return the recorded fingerprint of each (name, version)."""
        ...

    def record_fingerprint(self, name: str, version: int, fingerprint: str) -> str:
        """Record a fingerprint unless one is recorded already, and return the recorded one."""
        ...
