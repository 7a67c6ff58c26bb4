"""Versions of views: which rows a program may use and continue.

The version of most projections is a number that its author raises. A view whose rows depend on what an app declares
has instead the hash of that declaration, as a negative number. Two such versions are equal or different, and neither is
older.
"""

from __future__ import annotations

import hashlib
from typing import Final

_HASH_BYTES: Final = 4
_INTEGER_BITS: Final = 31
"""A column of type `integer` takes so many bits beside the sign."""


def version_of_declaration(declaration: str) -> int:
    """Returns the version of a view whose rows depend on a declaration, which this text stands for."""
    digest = hashlib.sha256(declaration.encode()).digest()
    return -1 - (int.from_bytes(digest[:_HASH_BYTES], "big") >> 8 * _HASH_BYTES - _INTEGER_BITS)


def is_of_declaration(version: int) -> bool:
    """Whether a version is the hash of a declaration."""
    return version < 0


def is_older(recorded: int, declared: int) -> bool:
    """Whether an older projection made a view, so that a worker builds the declared version beside it."""
    return recorded < declared and not is_of_declaration(declared)


def is_to_be_upgraded(recorded: int, declared: int) -> bool:
    """Whether an upgrade of the ledger by this program rebuilds the view."""
    return recorded != declared if is_of_declaration(declared) else recorded < declared
