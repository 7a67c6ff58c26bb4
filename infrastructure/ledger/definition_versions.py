"""Versions of definitions: each has one structure from its first saga on, and its fingerprint is on record.

A saga finishes on the version that it started with. If that version could change under it, its facts would be read by
rules that they were not written by; so a changed definition has to have another version.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ...domain.saga.definition import Definition
from ..errors import DefinitionChanged


class FingerprintRecord(Protocol):
    """What is needed of a log."""

    def fingerprints(self) -> dict[tuple[str, int], str]:
        """The fingerprint on record of each (name, version) that sagas were started with."""
        ...

    def record_fingerprint(self, name: str, version: int, fingerprint: str) -> str:
        """Put a fingerprint on record unless there is one; gives the one that is."""
        ...


class DefinitionVersions:
    """Holds registered definitions to what is on record. Safe to share between threads."""

    def __init__(self, record: FingerprintRecord) -> None:
        self._record = record
        self._pinned: set[tuple[str, int, str]] = set()

    def check(self, definitions: Iterable[Definition]) -> None:
        """Raise `DefinitionChanged` for the first that is on record with another structure."""
        doubtful = [definition for definition in definitions if not self.is_pinned(definition)]
        recorded = self._record.fingerprints() if doubtful else {}
        for definition in doubtful:
            fingerprint = recorded.get((definition.name, definition.version))
            if fingerprint is not None:
                _compare(definition, fingerprint)
                self._pinned.add(_identity(definition))

    def pin_fingerprint(self, definition: Definition) -> None:
        """Put it on record before a saga starts with it: once, and from then on it costs nothing.

        Raises `DefinitionChanged` if it is on record with another structure.
        """
        if not self.is_pinned(definition):
            _compare(definition, self._record.record_fingerprint(*_identity(definition)))
            self._pinned.add(_identity(definition))

    def is_pinned(self, definition: Definition) -> bool:
        """Whether it is known to be on record, so that `pin_fingerprint` has nothing to ask."""
        return _identity(definition) in self._pinned


def _identity(definition: Definition) -> tuple[str, int, str]:
    return (definition.name, definition.version, definition.fingerprint)


def _compare(definition: Definition, recorded: str) -> None:
    if recorded != definition.fingerprint:
        raise DefinitionChanged(definition.name, definition.version, recorded, definition.fingerprint)
