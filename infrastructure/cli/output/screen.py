"""Lines of a screen: text that fits a width and breaks no word, and commands that can still be copied."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size

from ..options import WIDTH_MIN, Options
from .text import one_line, visible

TERMINAL: Final = (80, 24)
"""The size of a terminal that does not say how large it is."""
ROOM_MIN: Final = 16
"""How much of a line is left for words, however much should stand before them."""
LONG_NAME: Final = "    "
"""What stands before a value whose name has a line of its own."""
QUOTED_QUOTE: Final = 5
"""How many cells a quotation mark takes within quotes: `'"'"'`."""
CONTINUED: Final = " \\"
"""The end of a line of shell that goes on with the next one."""

_PIECES = tuple(re.compile(rf"[^{after}]*[{after}]+|[^{after}]+") for after in (",;", "/&?=|:", "._-"))
"""Where a word may be broken that is longer than a line: after a comma, and only if need be after other characters."""
_SHELL_WORD = re.compile(r"""(?:"[^"]*"|\$'(?:\\.|[^'\\])*'|'[^']*'|[^\s'"])+""")


class Line(NamedTuple):
    """One line of a screen, and its style on a terminal that has colours."""

    text: str
    style: str = ""


def screen_width(options: Options) -> int | None:
    """Return how wide the answer may be, in terminal cells; None for a pipe, in which nothing is cut or wrapped."""
    if options.width is not None:
        return options.width
    return max(shutil.get_terminal_size(TERMINAL).columns, WIDTH_MIN) if sys.stdout.isatty() else None


def wrapped(text: str, width: int, first: str = "", rest: str | None = None, style: str = "") -> Iterator[Line]:
    """Yield a text on as many lines as it needs, each within the width.

    `first` stands before the first line, and `rest` before the others: blanks as wide as `first`, unless given. A word
    is broken only if it is longer than a line, and then after punctuation, if it has any.
    """
    text = one_line(text)
    if cell_len(first) + cell_len(text) <= width:
        yield Line(f"{first}{text}".rstrip(), style)
        return
    rest = " " * cell_len(first) if rest is None else rest
    if cell_len(rest) > width - ROOM_MIN:
        rest = set_cell_size(rest, max(width - ROOM_MIN, 0))
    room = max(width - cell_len(rest), 1)
    line, blank = first, True
    for word in text.split():
        for number, piece in enumerate([word] if cell_len(word) <= room else _pieces(word, room)):
            glued = piece if blank or number else f" {piece}"
            if cell_len(line) + cell_len(glued) > width:
                yield from [Line(line.rstrip(), style)] if line.strip() else []
                line, glued = rest, piece
            line, blank = f"{line}{glued}", False
    yield Line(line.rstrip(), style)


def command_lines(command: str, width: int, indent: str) -> Iterator[Line]:
    r"""Yield a command line to copy, on several lines with `\` at their ends if it is too long for one.

    A word that is longer than a line is broken, too: the shell puts it together again. Only one with escapes is not.
    """
    if cell_len(indent) + cell_len(command) <= width:
        yield Line(f"{indent}{command}")
        return
    line = ""
    room = width - len(CONTINUED)
    for argument in _arguments(command):
        start = f"{line} {argument}" if line else f"{indent}{argument}"
        if cell_len(start) <= room:
            line = start
            continue
        if line:
            yield Line(f"{line}{CONTINUED}")
        line = f"{indent}  {argument}"
        if cell_len(line) > room:
            *parts, line = _shell_parts(argument, room)
            yield from (Line(part) for part in parts)
    yield Line(line)


def labelled(pairs: Iterable[tuple[str, str]], width: int) -> Iterator[Line]:
    """Yield named values, one below the other, without those that are empty. A long name has a line of its own."""
    shown = [(visible(name), value) for name, value in pairs if value]
    longest = max((cells for name, _ in shown if (cells := cell_len(name)) <= width // 2), default=0)
    for name, value in shown:
        if cell_len(name) > longest:
            yield from wrapped(name, width)
            yield from wrapped(value, width, LONG_NAME)
        else:
            yield from wrapped(value, width, f"{name}{' ' * (longest - cell_len(name))}  ")


def _shell_parts(argument: str, room: int) -> Iterator[str]:
    r"""Yield the lines of an option with its value, or of a word, each but the last with `\` at its end."""
    *option, word = _SHELL_WORD.findall(argument)
    yield from (f"{each}{CONTINUED}" for each in option)
    if "$'" in word or cell_len(word) <= room:
        yield word
        return
    plain = "".join(shlex.split(word))
    *parts, last = chop_cells(plain, room // QUOTED_QUOTE if "'" in plain else room - 2)
    yield from (f"{shlex.quote(part)}\\" for part in parts)
    yield shlex.quote(last)


def _arguments(command: str) -> Iterator[str]:
    """Yield the words of a command line, an option with its value as one."""
    option = ""
    for word in _SHELL_WORD.findall(command):
        if option and not word.startswith("--"):
            yield f"{option} {word}"
            option = ""
            continue
        if option:
            yield option
        option = word if word.startswith("--") else ""
        if not option:
            yield word
    if option:
        yield option


def _pieces(word: str, room: int) -> Iterator[str]:
    """Yield the parts of a word that is longer than a line."""
    parts = [word]
    for pattern in _PIECES:
        parts = [piece for part in parts for piece in ([part] if cell_len(part) <= room else pattern.findall(part))]
    for part in parts:
        yield from [part] if cell_len(part) <= room else chop_cells(part, room)
