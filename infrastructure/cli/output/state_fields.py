"""The fields of a state document, by their paths."""

from __future__ import annotations

from typing import Any

from ...ledger.state_fields import UNTOUCHED, changed_fields, touched_fields
from .elapsed import Since
from .row_screen import read_recorded
from .table import cell

__all__ = ["changed_fields", "is_seen", "touched_fields", "value"]


def is_seen(change: dict[str, Any]) -> bool:
    """Whether a change can be seen: not from a field that is absent to one that nothing has touched yet."""
    before, after = change["before"], change["after"]
    return not (before in UNTOUCHED and after in UNTOUCHED) and cell(before) != cell(after)


def value(field: Any, since: Since) -> str:
    """Return the value of a field on a screen, with a time as what it is after the saga's start."""
    instant = read_recorded(field)
    return cell(field) if instant is None else since.moment(instant)
