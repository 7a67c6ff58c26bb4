"""Numbers that JSON lacks: NaN and infinity. They would be written as null, or as a text if they are keys."""

from __future__ import annotations

from math import isfinite
from typing import Any

import msgspec

from .pydantic_fields import fields_of_model


def may_stand_for_one(written: bytes) -> bool:
    """Whether JSON has what such a number leaves: without that, no value need be searched."""
    return b"null" in written or b'nan"' in written or b'inf"' in written


def is_within(value: Any) -> bool:
    """Whether a number somewhere in a value is NaN or infinite."""
    pending = [msgspec.to_builtins(value, enc_hook=fields_of_model)]
    while pending:
        part = pending.pop()
        if isinstance(part, float):
            if not isfinite(part):
                return True
        elif isinstance(part, dict):
            pending += part.keys()
            pending += part.values()
        elif isinstance(part, (list, tuple, set, frozenset)):
            pending += part
    return False
