"""Versions of definitions: each has one structure from its first saga on, except for additive changes.

A saga finishes on the version that it started with. If that version's structure changed meanwhile, the saga's events
would be read by other rules than they were written by. So a changed definition needs a new version, unless the change
is additive (`domain/saga/structure_changes.py`). Each structure that a worker ran or a saga started with is on record,
and what is registered is compared with all of them. A ledger of version 0.1.0 has only fingerprints: there any change
is breaking, until the unchanged definition was used once, and its structure recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from ...domain.saga.definition import Definition
from ...domain.saga.fingerprint import structure_owner
from ...domain.saga.schema_changes import StructuralDifference
from ...domain.saga.structure_changes import breaking, differences
from ..errors import DamagedLedger, DefinitionChanged
from ..event_store.definition_registry import DefinitionRegistry


class DefinitionVersions:
    """Compares registered definitions with the structures on record. Safe to share between threads."""

    def __init__(self, registry: DefinitionRegistry) -> None:
        self._registry = registry
        self._accepted: set[tuple[str, int, str]] = set()
        """The definitions that are known to agree with what is on record."""
        self._pinned: set[tuple[str, int, str]] = set()
        """The definitions that are known to be on record."""
        self._readable: set[tuple[str, int, str, str]] = set()
        """Each definition with the fingerprint of another one on record from which it differs by additions alone."""

    def check(self, definitions: Iterable[Definition]) -> None:
        """Raise `DefinitionChanged` for the first definition that is on record with another structure."""
        self._compare_recorded(
            [definition for definition in definitions if _identity(definition) not in self._accepted]
        )

    def begin(self, definitions: Iterable[Definition]) -> None:
        """Check the definitions of a worker, and record the structures of those that have sagas.

        From now on sagas record what these definitions make of them. Raises `DefinitionChanged`.
        """
        for definition, is_recorded in self._compare_recorded(definitions):
            if not is_recorded:
                self._registry.record_structure(*_identity(definition), definition.structure)
            self._pinned.add(_identity(definition))

    def pin_fingerprint(self, definition: Definition) -> None:
        """Record a definition before a saga starts with it; once recorded, this costs nothing.

        Raises `DefinitionChanged` if it is on record with another structure.
        """
        if self.is_pinned(definition):
            return
        name, version, fingerprint = _identity(definition)
        recorded = self._registry.record_fingerprint(name, version, fingerprint)
        structures = self._registry.structures().get((name, version), {})
        check_structure(definition, recorded, structures)
        if fingerprint not in structures:
            self._registry.record_structure(name, version, fingerprint, definition.structure)
        self._accepted.add(_identity(definition))
        self._pinned.add(_identity(definition))

    def is_pinned(self, definition: Definition) -> bool:
        """Whether the definition is known to be on record, so that `pin_fingerprint` need not ask the database."""
        return _identity(definition) in self._pinned

    def accepts(self, definition: Definition, fingerprint: str) -> bool:
        """Whether a saga that another program asks for, by the fingerprint of its definition, can start with this one.

        It can if the other definition is the same, or is on record and this one differs from it by additions alone.
        """
        pair = (*_identity(definition), fingerprint)
        if fingerprint in definition.fingerprints or pair in self._readable:
            return True
        structure = self._registry.structures().get((definition.name, definition.version), {}).get(fingerprint)
        if structure is None or breaking(structural_differences(definition, structure)):
            return False
        self._readable.add(pair)
        return True

    def _compare_recorded(self, definitions: Iterable[Definition]) -> list[tuple[Definition, bool]]:
        """Return those of the definitions whose version is on record, each with whether its own structure is.

        Raises `DefinitionChanged`.
        """
        doubtful = list(definitions)
        fingerprints = self._registry.fingerprints() if doubtful else {}
        structures = self._registry.structures() if doubtful else {}
        found: list[tuple[Definition, bool]] = []
        for definition in doubtful:
            key = (definition.name, definition.version)
            if key in fingerprints:
                recorded = structures.get(key, {})
                check_structure(definition, fingerprints[key], recorded)
                self._accepted.add(_identity(definition))
                found.append((definition, definition.fingerprint in recorded))
        return found


def check_structure(definition: Definition, fingerprint: str, structures: Mapping[str, str]) -> None:
    """Raise `DefinitionChanged` unless a definition can run the sagas of its version.

    `fingerprint` is the one on record; `structures` are those on record, of which a ledger of version 0.1.0 has none.
    """
    changes = recorded_differences(definition, structures)
    broken = breaking(changes)
    if broken or not (structures or fingerprint in definition.fingerprints):
        raise DefinitionChanged(definition.name, definition.version, fingerprint, definition.fingerprint, broken)


def recorded_differences(definition: Definition, structures: Mapping[str, str]) -> list[StructuralDifference]:
    """Return how a definition differs from the structures on record, each difference once."""
    found = [
        difference
        for fingerprint, structure in structures.items()
        if fingerprint != definition.fingerprint
        for difference in structural_differences(definition, structure)
    ]
    return list(dict.fromkeys(found))


def structural_differences(definition: Definition, structure: str) -> list[StructuralDifference]:
    """Return how a definition differs from one structure on record. Raises `DamagedLedger` if that is of another."""
    if structure_owner(structure) != (definition.name, definition.version):
        raise DamagedLedger(f"table structures has no structure of {definition.name} version {definition.version}")
    return differences(msgspec.json.decode(structure), msgspec.json.decode(definition.structure))


def _identity(definition: Definition) -> tuple[str, int, str]:
    return (definition.name, definition.version, definition.fingerprint)
