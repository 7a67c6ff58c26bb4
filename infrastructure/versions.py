"""Versions of definitions: each has one structure from its first saga on, and its fingerprint is on record.

A saga finishes on the version that it started with. If that version could change under it, its facts would be read by
rules that they were not written by; so a changed definition has to have another version.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..domain.definition import Definition
from .errors import DefinitionChanged


class FingerprintRecord(Protocol):
    """What is needed of a log."""

    def fingerprints(self) -> dict[tuple[str, int], str]:
        """The fingerprint on record of each (name, version) that sagas were started with."""
        ...

    def record_fingerprint(self, name: str, version: int, fingerprint: str) -> str:
        """Put a fingerprint on record unless there is one; gives the one that is."""
        ...


class Versions:
    """Holds registered definitions to what is on record. Safe to share between threads."""

    def __init__(self, record: FingerprintRecord) -> None:
        self._record = record
        self._vouched: set[tuple[str, int, str]] = set()

    def check(self, definitions: Iterable[Definition]) -> None:
        """Raise `DefinitionChanged` for the first that is on record with another structure."""
        recorded = self._record.fingerprints()
        for definition in definitions:
            _compare(definition, recorded.get((definition.name, definition.version), definition.fingerprint))

    def vouch_for(self, definition: Definition) -> None:
        """Put it on record before a saga starts with it: once, and from then on it costs nothing.

        Raises `DefinitionChanged` if it is on record with another structure.
        """
        known = (definition.name, definition.version, definition.fingerprint)
        if known not in self._vouched:
            _compare(definition, self._record.record_fingerprint(*known))
            self._vouched.add(known)

    def vouched_for(self, definition: Definition) -> bool:
        """Whether it is known to be on record, so that `vouch_for` has nothing to ask."""
        return (definition.name, definition.version, definition.fingerprint) in self._vouched


def _compare(definition: Definition, recorded: str) -> None:
    if recorded != definition.fingerprint:
        raise DefinitionChanged(definition.name, definition.version, recorded, definition.fingerprint)
