"""The error of a command line that cannot be used, and the check of its texts."""

from __future__ import annotations

from ...domain.errors import InvalidInput


class UsageError(InvalidInput):
    """An argument or an option has a value that its command cannot use."""


def require_unicode(what: str, text: str) -> str:
    """Return a text of the command line or the environment.

    Raises `UsageError` for one whose bytes are not Unicode in the encoding of this shell: it could not be recorded.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{what}, {text[:100]!r}, is not Unicode text: write it in the encoding of this shell, and rename a file "
            "that has such a name"
        ) from error
    return text
