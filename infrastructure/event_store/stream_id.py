"""What can be the id of a stream, so that every backend stores it, indexes it and finds it again."""

from __future__ import annotations

import unicodedata
from typing import Final

from ...domain.errors import InvalidInput

STREAM_ID_BYTES_MAX: Final = 1_024
"""PostgreSQL indexes values of up to about 2,700 bytes; this leaves room for the other columns of an index."""
_SHOWN_CHARACTERS: Final = 60


def check_stream_id(stream_id: str, what: str) -> None:
    """Raise `InvalidInput` for an id that a backend cannot store: `what` names the thing whose id it is.

    Such an id has a control character, a lone surrogate, or more bytes than an index takes. It may have any other
    character of Unicode.
    """
    if stream_id.isascii() and stream_id.isprintable():
        size_bytes = len(stream_id)
    else:
        for character in stream_id:
            if unicodedata.category(character) in ("Cc", "Cs"):
                raise InvalidInput(
                    f"{what} {_shown(stream_id)} has the character U+{ord(character):04X}, which no key may have: "
                    "remove it, or encode the key"
                )
        size_bytes = len(stream_id.encode())
    if size_bytes > STREAM_ID_BYTES_MAX:
        raise InvalidInput(
            f"{what} {_shown(stream_id)} has {size_bytes:,} bytes, of {STREAM_ID_BYTES_MAX:,} that an id may have: "
            "use a shorter key"
        )


def not_unicode(error: UnicodeEncodeError, place: str) -> InvalidInput:
    """Return the error that a text with a lone surrogate means: no backend stores one, so nothing has such an id."""
    return InvalidInput(
        f"{_shown(error.object)} cannot be stored or found in {place}: U+{ord(error.object[error.start]):04X} is a "
        "lone surrogate, which is no character"
    )


def _shown(stream_id: str) -> str:
    shown = ascii(stream_id[:_SHOWN_CHARACTERS])
    return shown if len(stream_id) <= _SHOWN_CHARACTERS else f"{shown}…"
