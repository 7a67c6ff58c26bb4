"""The names in an invoice's lines: its number, its articles, its customer. What a spreadsheet made of one is none."""

from __future__ import annotations

import re

from ....domain.shop.values import NAME_CHARS_MAX
from .errors import LineRejected

_SCIENTIFIC = re.compile(r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)[eE][+-]?[0-9]+")
_SURELY_SCIENTIFIC = re.compile(r"[+-]?([0-9]*[.,][0-9]*[eE][+-]?|[0-9]+[eE][+-])[0-9]+")
"""Without a sign or a decimal point, 79E1 may be the code of an article."""
_WITH_DECIMALS = re.compile(r"[+-]?[0-9]+[.,]0*")
_PLACEHOLDER = re.compile(
    r"[+-]?(nan|inf|infinity)|nat|null|\(null\)|none|nil|undefined|<na>|n/a|\\n|-?1\.#(ind|qnan|inf)"
    r"|#n/?a( n/a)?|#[a-z0-9/_]+[!?]|#+|err:[0-9]+",
    re.IGNORECASE,
)
"""What programs write for a value that is missing or wrong, or does not fit a spreadsheet's column."""
_MISSING = "NA"
"""What R writes for a missing value; it may be a country."""
_FORMULA_MARKS = ("=", "'")
"""How a cell of a spreadsheet begins that is a formula, or a text that would be read as another value."""
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
    different numbers became one, for a formula, and for the placeholder of a missing value.
    """
    text = name(column, given)
    if text == _MISSING:
        raise LineRejected(f"{column} {text} stands for a missing value: leave it empty if there is none")
    if text.startswith(_FORMULA_MARKS):
        raise LineRejected(f"{column} {text[:20]!r} begins as a formula does: export the column as text")
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
    if _PLACEHOLDER.fullmatch(text):
        raise LineRejected(f"{column} {text} stands for a missing value: leave it empty if there is none")
    return text
