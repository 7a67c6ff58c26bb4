"""Output: results on stdout, messages on stderr; JSON, or text that is the same wherever it goes.

On a terminal, tables fit its width and have colours; piped, nothing is cut, coloured or wrapped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec

from ..options import Options
from .table import Table, lines
from .text import one_line
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
"""How a status looks where there are colours."""

Block = str | Table
"""A part of an answer in text."""


def answer(options: Options, document: dict[str, Any], text: Callable[[], Iterable[Block]]) -> None:
    """Write a command's result: the document with `--json`, else its text."""
    if options.json:
        sys.stdout.write(msgspec.json.encode(document, enc_hook=str).decode() + "\n")
        return
    for block in text():
        _write(block)


def say(message: str) -> None:
    """Tell the person something that is not the result: one line on stderr."""
    sys.stdout.flush()
    sys.stderr.write(f"{one_line(message)}\n")
    sys.stderr.flush()


def jsonable(value: Any) -> Any:
    """A row's value as JSON: times in UTC with `Z`."""
    return json_instant(value) if isinstance(value, datetime) else value


def _write(block: Block) -> None:
    if isinstance(block, str):
        sys.stdout.write(f"{block}\n")
    elif sys.stdout.isatty():
        _write_on_terminal(block)
    else:
        sys.stdout.writelines(f"{line.text}\n" for line in lines(block))


def _write_on_terminal(table: Table) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False)
    for line in lines(table, console.width):
        text = Text(line.text, style="bold" if line.row is None else table.styles.get(line.row, ""))
        for status, style in STATUS_STYLES.items() if line.row is not None else ():
            text.highlight_words([status], style)
        console.print(text, soft_wrap=True)
