"""Structures: what a definition means for the sagas that run by it; and fingerprints, which are hashes of structures.

Both are recorded from the first saga on. A fingerprint tells whether two structures are the same; `differences` says of
two structures what differs (`structure_changes.py`).

The first scheme of fingerprints left out some of the meaning, and included docstrings and class names. What it hashed
is on record in ledgers of version 0.1.0, so a definition has a fingerprint of each scheme, and either of them on record
is the definition's. Retries, timeouts and deadlines are tuning, and in neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from .pydantic_type import mentions_model, structure_of_models
from .step import AnyStep
from .step_kind import ForEach
from .validation import After

_DOCUMENTATION: Final = frozenset({"title", "description", "examples", "deprecated"})
_NAMED_PARTS: Final = frozenset({"properties", "patternProperties"})


def structure_of(name: str, version: int, steps: Sequence[AnyStep], after: After, input_type: Any) -> str:
    """Returns the structure of a definition, as canonical JSON.

    It has each step's order, kind, pivot and compensation, the signal or saga that it waits for, the type of its
    result and what follows an unknown outcome; and the input's type. Types are in it by their JSON alone.
    """
    structure = [
        {
            **_structure(step, after),
            **step.kind.target,
            "result": _schema(step.result_type),
            "on_unknown": step.on_unknown,
            **({"item": _schema(step.item_type)} if isinstance(step.kind, ForEach) else {}),
        }
        for step in steps
    ]
    document = {"scheme": 2, "saga": name, "version": version, "steps": structure, "input": _schema(input_type)}
    return _canonical(document).decode()


def fingerprint(structure: str) -> str:
    """Returns the fingerprint of a structure, as it is recorded today."""
    return _hash(structure.encode())


def structure_owner(structure: str) -> tuple[str, int] | None:
    """Returns the name and the version of the definition that a structure is of; None if the text is no structure."""
    try:
        owner = msgspec.json.decode(structure, type=_Owner)
    except msgspec.DecodeError:
        return None
    return owner.saga, owner.version


class _Owner(msgspec.Struct):
    saga: str
    version: int


def first_fingerprint(name: str, version: int, steps: Sequence[AnyStep], after: After, input_type: Any) -> str:
    """Returns the fingerprint that version 0.1.0 recorded."""
    try:
        schema: Any = msgspec.json.schema(input_type)
    except TypeError:
        schema = str(input_type)
    structure = [_structure(step, after) for step in steps]
    return _hash(_canonical({"saga": name, "version": version, "steps": structure, "input": schema}))


def _structure(step: AnyStep, after: After) -> dict[str, Any]:
    return {
        "step": step.name,
        "after": sorted(after[step.name]),
        "pivot": step.pivot,
        "compensated": step.undo is not None,
        **step.kind.structure,
        **({} if step.condition is None else {"conditional": True}),
    }


def _canonical(document: Any) -> bytes:
    return msgspec.json.encode(document, order="deterministic")


def _hash(canonical: bytes) -> str:
    return hashlib.sha256(canonical).hexdigest()[:16]


def _schema(type_: Any) -> Any:
    """Returns the JSON schema of a type without what only documents it: names of classes, docstrings, examples."""
    try:
        schema = msgspec.json.schema(type_)
    except TypeError:  # it can be read from JSON, but has no schema of msgspec's
        if not mentions_model(type_):
            return str(type_)
        schema = structure_of_models(type_)
    return _Plain(schema.pop("$defs", {})).of(schema)


class _Plain:
    """Writes each class where it is used first, and refers to it by its number from then on."""

    def __init__(self, classes: Mapping[str, Any]) -> None:
        self._classes = classes
        self._numbers: dict[str, int] = {}

    def of(self, schema: Any) -> Any:
        if isinstance(schema, list):
            return [self.of(part) for part in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            return self._class(schema["$ref"].rpartition("/")[2])
        return {
            key: self._part(key, schema[key])
            for key in sorted(schema)
            if key not in _DOCUMENTATION and key != "mapping"
        }

    def _part(self, key: str, part: Any) -> Any:
        if key in _NAMED_PARTS:
            return {name: self.of(part[name]) for name in sorted(part)}
        if key == "discriminator":
            return part["propertyName"]
        if key == "required":
            return sorted(part)
        return part if key in ("default", "enum", "const") else self.of(part)

    def _class(self, name: str) -> Any:
        if name in self._numbers:
            return {"class": self._numbers[name]}
        self._numbers[name] = len(self._numbers)
        return {"class": self._numbers[name], "is": self.of(self._classes[name])}
