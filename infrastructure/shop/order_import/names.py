"""The names in an invoice's lines: its number, its articles, its customer. What a spreadsheet made of one is none."""

from __future__ import annotations

import re

from ....domain.shop.values import NAME_CHARS_MAX
from .errors import LineRejected

_SCIENTIFIC = re.compile(r"[+-]?[0-9]+([.,][0-9]*)?[eE][+-]?[0-9]+")
_SURELY_SCIENTIFIC = re.compile(r"[+-]?([0-9]+[.,][0-9]*[eE][+-]?|[0-9]+[eE][+-])[0-9]+")
"""Without a sign or a decimal point, 79E1 may be the code of an article."""
_WITH_DECIMALS = re.compile(r"[+-]?[0-9]+[.,]0*")
_PLACEHOLDERS = frozenset({"nan", "-nan", "nat", "inf", "-inf", "null", "none", "<na>", "n/a", "#n/a"}) | {
    *("#ref!", "#value!", "#name?", "#null!", "#num!", "#div/0!")
}
"""What programs write for a value that is missing or wrong."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def key(column: str, given: str) -> str:
    """Read a name that a stream is called by. Raises `LineRejected` for an empty one, and as `optional_key` does."""
    text = optional_key(column, given)
    if not text:
        raise LineRejected(f"{column} is empty")
    return text


def optional_key(column: str, given: str) -> str:
    """Read a name that a stream is called by, or an empty one.

    Raises `LineRejected` for a text with unprintable characters, for what a spreadsheet made of a number, because
    different numbers became one, and for the placeholder of a missing value.
    """
    text = name(column, given)
    if not text.isprintable():
        raise LineRejected(f"{column} {text[:20]!r} has a character that does not print")
    scientific = _SURELY_SCIENTIFIC if column == "StockCode" else _SCIENTIFIC
    if scientific.fullmatch(text):
        raise LineRejected(
            f"{column} {text} is in scientific notation, so its digits are lost: export the column as text"
        )
    if _WITH_DECIMALS.fullmatch(text):
        raise LineRejected(f"{column} {text} is a number with decimals: export the column as text")
    return text


def name(column: str, given: str) -> str:
    """Read a name, or an empty one. Raises `LineRejected` for one that is too long, and for a placeholder."""
    text = given.strip()
    if len(text) > NAME_CHARS_MAX or _CONTROL.search(text):
        raise LineRejected(f"{column} {text[:20]!r}… is not a name of up to {NAME_CHARS_MAX} printable characters")
    if text.lower() in _PLACEHOLDERS:
        raise LineRejected(f"{column} {text} stands for a missing value: leave it empty if there is none")
    return text
