"""Versions of definitions: each has one structure from its first saga on, pinned by a fingerprint on record.

A saga finishes on the version that it started with. If that version's structure changed meanwhile, the saga's events
would be read by other rules than they were written by. So a changed definition needs a new version.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ...domain.saga.definition import Definition
from ..errors import DefinitionChanged


class FingerprintRecord(Protocol):
    """The part of a backend that keeps fingerprints."""

    def fingerprints(self) -> dict[tuple[str, int], str]:
        """The fingerprint on record of each (name, version) that sagas were started with."""
        ...

    def record_fingerprint(self, name: str, version: int, fingerprint: str) -> str:
        """Record a fingerprint unless there is one; returns the one on record."""
        ...


class DefinitionVersions:
    """Compares registered definitions with the fingerprints on record. Safe to share between threads."""

    def __init__(self, record: FingerprintRecord) -> None:
        self._record = record
        self._pinned: set[tuple[str, int, str]] = set()

    def check(self, definitions: Iterable[Definition]) -> None:
        """Raise `DefinitionChanged` for the first definition that is on record with another structure."""
        doubtful = [definition for definition in definitions if not self.is_pinned(definition)]
        recorded = self._record.fingerprints() if doubtful else {}
        for definition in doubtful:
            fingerprint = recorded.get((definition.name, definition.version))
            if fingerprint is not None:
                _compare(definition, fingerprint)
                self._pinned.add(_identity(definition))

    def pin_fingerprint(self, definition: Definition) -> None:
        """Record a definition's fingerprint before a saga starts with it; once recorded, this costs nothing.

        Raises `DefinitionChanged` if it is on record with another structure.
        """
        if not self.is_pinned(definition):
            _compare(definition, self._record.record_fingerprint(*_identity(definition)))
            self._pinned.add(_identity(definition))

    def is_pinned(self, definition: Definition) -> bool:
        """Whether the fingerprint is known to be on record, so that `pin_fingerprint` need not ask the database."""
        return _identity(definition) in self._pinned


def _identity(definition: Definition) -> tuple[str, int, str]:
    return (definition.name, definition.version, definition.fingerprint)


def _compare(definition: Definition, recorded: str) -> None:
    if recorded not in definition.fingerprints:
        raise DefinitionChanged(definition.name, definition.version, recorded, definition.fingerprint)
