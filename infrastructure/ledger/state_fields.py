"""The fields of a state document, by their paths."""

from __future__ import annotations

from typing import Any

ABSENT = object()
UNTOUCHED: tuple[Any, ...] = (None, False, 0, "pending", [], {})
"""The values of fields that nothing has changed yet."""


def touched_fields(document: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the fields that something has changed, each with its value."""
    return [(field, value) for field, value in _leaves(document).items() if value not in UNTOUCHED]


def changed_fields(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the fields in which two documents differ, with the value of each."""
    old, new = _leaves(before), _leaves(after)
    return [
        {"field": field, "before": old.get(field), "after": new.get(field)}
        for field in {**old, **new}
        if old.get(field, ABSENT) != new.get(field, ABSENT)
    ]


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Return every value of a document by its path, such as `steps.process_payment.forward.attempt`."""
    if isinstance(value, dict) and value and path != "input":
        found: dict[str, Any] = {}
        for name, inner in value.items():
            found |= _leaves(inner, f"{path}.{name}" if path else name)
        return found
    return {path: value}
