"""Text that is safe to print: characters that a terminal would obey or hide are shown escaped."""

from __future__ import annotations

import re
import shlex

TEXT_CHARACTERS_MAX = 2_000
"""How much of one value is shown; `--json` has all of it."""
_UNSEEN_IN_JSON = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
"""Control and format characters, line separators and lone surrogates. In JSON they only occur inside strings."""


def visible(text: str) -> str:
    """Return a text with every character that does not print as itself escaped, such as `\\x1b`; a newline as ` ⏎ `.

    So no control character, bidirectional control, line separator or lone surrogate reaches a terminal. Doing it again
    changes nothing.
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def one_line(text: str) -> str:
    """Return a text on one line, visible, and cut to a length that a person can read."""
    shown = visible(text)
    if len(shown) <= TEXT_CHARACTERS_MAX:
        return shown
    return f"{shown[:TEXT_CHARACTERS_MAX]} … ({len(shown):,} characters)"


def visible_json(encoded: str) -> str:
    """Return encoded JSON with the same characters escaped as JSON escapes them, so that its meaning stays."""
    return encoded if encoded.isascii() and "\x7f" not in encoded else _UNSEEN_IN_JSON.sub(_json_escape, encoded)


def shell_word(word: str) -> str:
    """Return a word as a shell reads it back; one with unprintable characters in bash's `$'…'`."""
    if word.isprintable():
        return shlex.quote(word)
    return f"$'{''.join(map(_shell_escape, word))}'"


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 event`, `2,000 events`."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return " ⏎ " if character == "\n" else repr(character)[1:-1]


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    if 0xD8 <= units[0] <= 0xDF and len(units) == 2:  # a lone surrogate, which no reader of JSON takes
        return f"\\\\u{units.hex()}"
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _shell_escape(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
