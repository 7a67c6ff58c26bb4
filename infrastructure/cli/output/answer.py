"""Answers on stdout, as JSON or as text, and messages on stderr.

On a screen, lines fit its width, and a terminal has colours; piped, nothing is cut, coloured or wrapped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from ...ledger.json_values import jsonable, jsonable_row
from ..options import Options
from .screen import Line, screen_width, wrapped
from .screen_table import table_lines
from .streams import flush_answer, write_json, write_line, write_message
from .table import Table, lines
from .text import one_line, visible, visible_json

__all__ = ["STATUS_STYLES", "Block", "Screen", "answer", "encoded", "jsonable", "jsonable_row", "say", "screen_lines"]

STATUS_STYLES = {
    "completed": "green",
    "compensated": "yellow",
    "compensating": "yellow",
    "needs_intervention": "bold red",
    "abandoned": "red",
    "cancelled": "yellow",
    "stopped": "bold red",
}
"""The style of each status on a terminal that has colours."""

Block: TypeAlias = str | Table | Line
"""A part of an answer in text."""
Screen: TypeAlias = Callable[[int], Iterable[Block]]
"""Returns an answer as it is on a screen of a width."""


def answer(
    options: Options, document: dict[str, Any], text: Callable[[], Iterable[Block]], screen: Screen | None = None
) -> None:
    """Write the answer of a command: the document with `--json`, otherwise its text, which differs on a screen."""
    width = screen_width(options)
    if options.json:
        write_json(visible_json(encoded(document)))
    elif width is None:
        for block in text():
            for line in _plain_lines(block):
                write_line(line)
    else:
        write = _write_in_colour() if sys.stdout.isatty() else _write_plain
        for block in text() if screen is None else screen(width):
            for each in screen_lines(block, width):
                write(each)


def screen_lines(block: Block, width: int) -> Iterable[Line]:
    """Return the lines of a part of an answer on a screen."""
    match block:
        case Line():
            return [block]
        case Table():
            return table_lines(block, width)
        case _:
            text = block.lstrip()
            return wrapped(text, width, block[: len(block) - len(text)])


def say(message: str) -> None:
    """Write a message that is not part of the answer: one line on stderr."""
    flush_answer()
    write_message(one_line(message))


def encoded(document: Any) -> str:
    """Return a value as JSON."""
    try:
        return msgspec.json.encode(document, enc_hook=str).decode()
    except UnicodeEncodeError:  # a lone surrogate, such as in the name of a file that is not UTF-8
        return json.dumps(msgspec.to_builtins(document, enc_hook=str), ensure_ascii=False, separators=(",", ":"))


def _plain_lines(block: Block) -> Iterable[str]:
    match block:
        case Table():
            return lines(block)
        case Line():
            return [block.text]
        case _:
            return [block]


def _write_plain(line: Line) -> None:
    write_line(line.text)


def _write_in_colour() -> Callable[[Line], None]:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False)

    def write(line: Line) -> None:
        text = Text(visible(line.text), style=line.style)
        for status, style in STATUS_STYLES.items():
            text.highlight_words([status], style)
        console.print(text, soft_wrap=True)

    return write
