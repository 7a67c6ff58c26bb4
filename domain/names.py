"""The names and versions that a program declares: parts of ids and of stored rows, in every backend alike."""

from __future__ import annotations

from typing import Any, Final

from .errors import DefinitionError

PREFIX_BYTES_MAX: Final = 200
"""The longest prefix of stream ids: with it, every key of 200 characters makes an id that can be indexed."""
STORED_NAME_CHARACTERS_MAX: Final = 200
VERSION_MAX: Final = 2**31 - 1
"""What a database's column of type `integer` takes."""


def check_prefix(name: Any, what: str) -> None:
    """Raise `DefinitionError` unless a name can begin the ids of streams, up to the first `-`."""
    if not _is_printable(name) or "-" in name or len(name.encode()) > PREFIX_BYTES_MAX:
        raise DefinitionError(
            f"{what} {name!r}: use a printable name without '-', which ends it in an id, of at most {PREFIX_BYTES_MAX} "
            "bytes"
        )


def check_stored_name(name: Any, what: str) -> None:
    """Raise `DefinitionError` unless a name can be that of a stored type."""
    if not _is_printable(name) or len(name) > STORED_NAME_CHARACTERS_MAX:
        raise DefinitionError(f"{what} {name!r}: use 1 to {STORED_NAME_CHARACTERS_MAX} printable characters")


def check_service_name(name: Any, what: str) -> None:
    """Raise `DefinitionError` unless a name can be a service's, in the log and in the subjects of a broker."""
    if not _is_printable(name) or not name.replace("_", "").isalnum() or len(name) > STORED_NAME_CHARACTERS_MAX:
        raise DefinitionError(
            f"{what} needs a name of letters, digits and underscores, at most {STORED_NAME_CHARACTERS_MAX} of them"
        )


def check_version(version: Any, what: str) -> None:
    """Raise `DefinitionError` unless a version is a whole number from 1 on."""
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= VERSION_MAX:
        raise DefinitionError(f"{what} version {version!r}: versions are whole numbers from 1 to {VERSION_MAX:,}")


def _is_printable(name: Any) -> bool:
    return isinstance(name, str) and bool(name) and name.isprintable()
