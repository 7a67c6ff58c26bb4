"""What is recorded of an exception: text that can be stored, whatever the exception's own code does.

An exception is the user's code: its `str()` may raise, return what is not text, or hold what is not Unicode.
"""

from __future__ import annotations

from collections.abc import Sequence

ERROR_CHARACTERS_MAX = 4_000
"""A longer error text is cut."""
NAME_CHARACTERS_MAX = 200
PARTS_MAX = 1_000
"""A group of more exceptions counts as one that is none of them."""
PARTS_SHOWN_MAX = 20

_name_of = type.__dict__["__name__"].__get__
_exceptions_of = BaseExceptionGroup.__dict__["exceptions"].__get__
"""As Python keeps them, not as a subclass may answer."""


def parts_of(error: BaseException) -> Sequence[BaseException]:
    """Returns the exceptions that a group holds, also in groups within it; the exception itself if it is no group."""
    parts: list[BaseException] = []
    pending = [error]
    for _ in range(PARTS_MAX):
        if not pending:
            return parts
        part = pending.pop()
        if issubclass(type(part), BaseExceptionGroup):
            pending.extend(reversed(_exceptions_of(part)))
        else:
            parts.append(part)
    return [error] if pending else parts


def error_text(error: BaseException, parts: Sequence[BaseException]) -> str:
    """Returns an exception's text; of a group, also the type and the text of what it holds."""
    if parts[0] is error:
        return shortened(_str_of(error))
    inside = "; ".join(f"{type_name(part)}: {_str_of(part)}" for part in parts[:PARTS_SHOWN_MAX])
    more = f"; and {len(parts) - PARTS_SHOWN_MAX:,} more" if len(parts) > PARTS_SHOWN_MAX else ""
    return shortened(f"{_str_of(error)}: {inside}{more}")


def type_name(error: BaseException) -> str:
    """Returns the name of an exception's type."""
    return shortened(_name_of(type(error)), NAME_CHARACTERS_MAX)


def shortened(text: str, characters_max: int = ERROR_CHARACTERS_MAX) -> str:
    """Returns a text that every database can store: cut, and with escapes for NUL and for what is not Unicode."""
    length = len(text)
    text = text[:characters_max].encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    return text if length <= characters_max else f"{text} … ({length:,} characters)"


def _str_of(error: BaseException) -> str:
    try:
        return str.__str__(str(error))
    except BaseException as unshown:  # noqa: BLE001 -- an error that cannot be shown is recorded all the same
        return f"<its text cannot be shown: str() raised {type_name(unshown)}>"
