"""Text for a terminal: control characters in stored values are shown, never sent."""

from __future__ import annotations

TEXT_CHARACTERS_MAX = 2_000
"""How much of one value is shown; `--json` has all of it."""


def one_line(text: str) -> str:
    """Return a text on one line, with its control characters visible, so that none of them moves the cursor."""
    shown = text if text.isprintable() else "".join(map(_visible, text))
    if len(shown) <= TEXT_CHARACTERS_MAX:
        return shown
    return f"{shown[:TEXT_CHARACTERS_MAX]} … ({len(shown):,} characters)"


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return " ⏎ " if character == "\n" else repr(character)[1:-1]


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 event`, `2,000 events`."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"
