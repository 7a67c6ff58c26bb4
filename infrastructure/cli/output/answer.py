"""Answers on stdout, as JSON or as text, and messages on stderr.

On a terminal, tables fit its width and have colours; piped, nothing is cut, coloured or wrapped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec

from ..options import Options
from .streams import flush_answer, write_json, write_line, write_message
from .table import Table, lines
from .text import one_line, visible, visible_json
from .timestamps import json_instant

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

Block = str | Table
"""A part of an answer in text."""


def answer(options: Options, document: dict[str, Any], text: Callable[[], Iterable[Block]]) -> None:
    """Write the answer of a command: the document with `--json`, otherwise its text."""
    if options.json:
        write_json(visible_json(encoded(document)))
        return
    for block in text():
        _write(block)


def say(message: str) -> None:
    """Write a message that is not part of the answer: one line on stderr."""
    flush_answer()
    write_message(one_line(message))


def jsonable(value: Any) -> Any:
    """Return a value of a row as JSON: times in UTC with `Z`."""
    return json_instant(value) if isinstance(value, datetime) else value


def jsonable_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its values as JSON."""
    return {name: jsonable(value) for name, value in row.items()}


def _write(block: Block) -> None:
    if isinstance(block, str):
        write_line(block)
    elif sys.stdout.isatty():
        _write_on_terminal(block)
    else:
        for line in lines(block):
            write_line(line.text)


def encoded(document: Any) -> str:
    """Return a value as JSON."""
    try:
        return msgspec.json.encode(document, enc_hook=str).decode()
    except UnicodeEncodeError:  # a lone surrogate, such as in the name of a file that is not UTF-8
        return json.dumps(msgspec.to_builtins(document, enc_hook=str), ensure_ascii=False, separators=(",", ":"))


def _write_on_terminal(table: Table) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False)
    for line in lines(table, console.width):
        text = Text(visible(line.text), style="bold" if line.row is None else table.styles.get(line.row, ""))
        for status, style in STATUS_STYLES.items() if line.row is not None else ():
            text.highlight_words([status], style)
        console.print(text, soft_wrap=True)
