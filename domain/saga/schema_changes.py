"""What changed between two types of values, by their JSON schemas: can the present one read what the other one wrote?

The schemas are those of a structure (`fingerprint.py`): a class is `{"class": number, "is": schema}` where it is used
first, and `{"class": number}` from then on. What is not known here counts as breaking if it differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

_MISSING: Final = object()
_NAMED_PARTS: Final = ("properties", "patternProperties")
_UNIONS: Final = ("anyOf", "oneOf")
_DATA: Final = ("default", "enum", "const", "required")
"""Keys of a schema whose values are data, not schemas."""
_SHOWN_CHARACTERS_MAX: Final = 60


class StructuralDifference(Struct, frozen=True):
    """One difference between a recorded structure and the present one."""

    place: str
    """What differs, such as `step 'charge'`, or `field 'email' of the input`."""
    change: str
    """What happened to it, such as `was removed`."""
    is_breaking: bool
    """Whether sagas that were started before the change cannot go on with it."""

    def __str__(self) -> str:
        return f"{self.place} {self.change}"


def schema_differences(recorded: Any, present: Any, what: str) -> Iterator[StructuralDifference]:
    """Yield the differences between the recorded schema of a value and the present one. `what`: such as `the input`."""
    return _Comparison(what, _classes_in(recorded), _classes_in(present)).of(recorded, present, "")


class _Comparison:
    """Compares two schemas part by part; a class that contains itself is compared once."""

    def __init__(self, what: str, recorded: Mapping[int, Any], present: Mapping[int, Any]) -> None:
        self._what = what
        self._recorded = recorded
        self._present = present
        self._compared: set[tuple[int, int]] = set()

    def of(self, old: Any, new: Any, path: str) -> Iterator[StructuralDifference]:
        classes = (_class_of(old), _class_of(new))
        if None not in classes:
            if classes in self._compared:
                return
            self._compared.add(classes)  # type: ignore[arg-type]  # neither is None
        old, new = self._resolved(old, self._recorded), self._resolved(new, self._present)
        if not (isinstance(old, dict) and isinstance(new, dict)):
            if old != new:
                yield self._other_type(old, new, path)
        elif _options_of(old) or _options_of(new):
            yield from self._options(old, new, path)
        elif _kind_of(old) != _kind_of(new):
            yield self._other_type(old, new, path)
        else:
            yield from self._parts(old, new, path)

    def _parts(self, old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[StructuralDifference]:
        """Compare two schemas of one kind: two objects, two arrays, two texts."""
        handled = {"properties", "required", "enum", "prefixItems", "minItems", "default"}
        if "properties" in old or "properties" in new:
            yield from self._fields(old, new, path)
        if "enum" in old or "enum" in new:
            yield from self._values(old.get("enum", ()), new.get("enum", ()), path)
        if "prefixItems" in old or "prefixItems" in new:
            yield from self._elements(old, new, path)
        elif old.get("minItems") != new.get("minItems"):
            yield self._other("minItems", path)
        for key in sorted((old.keys() | new.keys()) - handled):
            one, other = old.get(key, _MISSING), new.get(key, _MISSING)
            if isinstance(one, dict) and isinstance(other, dict) and key not in _DATA:
                yield from self.of(one, other, f"{path}[]")
            elif key == "allOf" and _MISSING not in (one, other) and len(one) == len(other):
                for before, after in zip(one, other, strict=True):
                    yield from self.of(before, after, path)
            elif one != other:
                yield self._other(key, path)

    def _fields(self, old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[StructuralDifference]:
        before, after = old.get("properties", {}), new.get("properties", {})
        was_required, is_required = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(before.keys() | after.keys()):
            field = f"{path}.{name}" if path else name
            if name not in before:
                needed = name in is_required
                change = "was added without a default" if needed else "was added, and may be absent"
                yield self._at(field, change, is_breaking=needed)
            elif name not in after:
                yield self._at(field, "was removed", is_breaking=True)
            else:
                if name in is_required - was_required:
                    yield self._at(field, "has no default any more", is_breaking=True)
                elif name in was_required - is_required:
                    yield self._at(field, "has a default now", is_breaking=False)
                elif name not in was_required and _default_of(before[name]) != _default_of(after[name]):
                    yield self._at(field, "has another default", is_breaking=True)
                yield from self.of(before[name], after[name], field)

    def _values(self, before: Sequence[Any], after: Sequence[Any], path: str) -> Iterator[StructuralDifference]:
        """Compare the values that an enumeration or a literal may have."""
        removed = [value for value in before if value not in after]
        added = [value for value in after if value not in before]
        if removed:
            yield self._at(path, f"cannot be {_listed(removed)} any more", is_breaking=True)
        if added:
            yield self._at(path, f"may also be {_listed(added)}", is_breaking=False)

    def _elements(self, old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[StructuralDifference]:
        """Compare arrays whose elements have a type each: tuples, and structs that are written as arrays."""
        before, after = old.get("prefixItems", ()), new.get("prefixItems", ())
        if len(after) < len(before) or old.get("minItems") != new.get("minItems"):
            yield self._at(path, f"has {len(after)} elements instead of {len(before)}", is_breaking=True)
            return
        for number, (one, other) in enumerate(zip(before, after, strict=False)):
            yield from self.of(one, other, f"{path}[{number}]")
        if len(after) > len(before):
            yield self._at(path, f"has {len(after)} elements instead of {len(before)}", is_breaking=False)

    def _options(self, old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[StructuralDifference]:
        """Compare types of which at least one is a union: each recorded option needs one that reads it."""
        left = list(_options_of(new) or (new,))
        unread = []
        for option in _options_of(old) or (old,):
            reader = next((other for other in left if self._looks_like(option, other)), None)
            if reader is None:
                unread.append(option)
            else:
                yield from self.of(option, reader, path)
                left.remove(reader)
        if len(unread) == len(left) == 1:
            yield from self.of(unread[0], left[0], path)
        elif unread:
            yield self._other_type(old, new, path)
        elif left:
            added = " | ".join(self._shown(option, self._present) for option in left)
            yield self._at(path, f"may also be {added}", is_breaking=False)
        if _options_of(old) and _options_of(new):
            for key in sorted((old.keys() | new.keys()) - {*_UNIONS, "default"}):
                if old.get(key, _MISSING) != new.get(key, _MISSING):
                    yield self._other(key, path)

    def _looks_like(self, old: Any, new: Any) -> bool:
        """Whether what one option of a union wrote goes to another one: by its kind and its tag, as when it is read."""
        old, new = self._resolved(old, self._recorded), self._resolved(new, self._present)
        if not (isinstance(old, dict) and isinstance(new, dict)):
            return bool(old == new)
        if (old.get("type"), _listed_in(old) is None) != (new.get("type"), _listed_in(new) is None):
            return False
        fields, others = old.get("properties", {}), new.get("properties", {})
        pairs = [(old, new), *((fields[name], others[name]) for name in fields.keys() & others.keys())]
        pairs += zip(old.get("prefixItems", ())[:1], new.get("prefixItems", ())[:1], strict=False)
        return not any(_are_disjoint(_listed_in(one), _listed_in(other)) for one, other in pairs)

    def _resolved(self, schema: Any, classes: Mapping[int, Any]) -> Any:
        number = _class_of(schema)
        return schema if number is None else classes.get(number, schema)

    def _at(self, path: str, change: str, *, is_breaking: bool) -> StructuralDifference:
        return StructuralDifference(f"field {path!r} of {self._what}" if path else self._what, change, is_breaking)

    def _other(self, key: str, path: str) -> StructuralDifference:
        return self._at(path, f"has another {key}", is_breaking=True)

    def _other_type(self, old: Any, new: Any, path: str) -> StructuralDifference:
        change = f"has the type {self._shown(new, self._present)} instead of {self._shown(old, self._recorded)}"
        return self._at(path, change, is_breaking=True)

    def _shown(self, schema: Any, classes: Mapping[int, Any]) -> str:
        schema = self._resolved(schema, classes)
        if not isinstance(schema, dict):
            return str(schema)
        if options := _options_of(schema):
            return " | ".join(self._shown(option, classes) for option in options)
        if "enum" in schema:
            return _listed(schema["enum"])
        return " ".join(filter(None, (str(schema.get("type", "any")), schema.get("format"))))


def _class_of(schema: Any) -> int | None:
    number = schema.get("class") if isinstance(schema, dict) else None
    return number if isinstance(number, int) else None


def _classes_in(schema: Any) -> dict[int, Any]:
    """Returns the schemas of the classes in a schema, by number."""
    found: dict[int, Any] = {}
    pending = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending += part
        elif isinstance(part, dict):
            number = _class_of(part)
            if number is not None and "is" in part:
                found[number] = part["is"]
            for key, inner in part.items():
                if key in _NAMED_PARTS and isinstance(inner, dict):
                    pending += inner.values()
                elif key not in _DATA:
                    pending.append(inner)
    return found


def _options_of(schema: Mapping[str, Any]) -> Sequence[Any]:
    """Returns the types of a union, with those of a union within it; none for any other type."""
    options = next((schema[key] for key in _UNIONS if key in schema), ())
    return [each for option in options for each in (_options_of(option) or [option])]


def _kind_of(schema: Mapping[str, Any]) -> tuple[Any, bool]:
    """Returns what two schemas must have in common to be compared part by part."""
    return schema.get("type"), "enum" in schema


def _listed_in(schema: Any) -> Sequence[Any] | None:
    """Returns the values that a schema lists; None if it is one of any other type."""
    if not isinstance(schema, dict):
        return None
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _are_disjoint(values: Sequence[Any] | None, others: Sequence[Any] | None) -> bool:
    return values is not None and others is not None and not any(value in others for value in values)


def _default_of(schema: Any) -> Any:
    return schema.get("default", _MISSING) if isinstance(schema, dict) else _MISSING


def _listed(values: Sequence[Any]) -> str:
    listed = ", ".join(msgspec.json.encode(value).decode() for value in values)
    return listed if len(listed) <= _SHOWN_CHARACTERS_MAX else f"{listed[: _SHOWN_CHARACTERS_MAX - 1]}…"
