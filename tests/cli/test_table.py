"""Tables fit a terminal, and are never cut in a pipe."""

from __future__ import annotations

import os
import pty
import subprocess
from datetime import UTC, datetime

from rich.cells import cell_len

from sagaledger.infrastructure.cli.output.table import Table, lines

from .shell import PROGRAM, Shell

TABLE = Table(
    ("saga_id", "events", "error"),
    [
        ("fulfil_order-1", 12, "the airline does not answer, and nobody knows when it will"),
        ("fulfil_order-2", None, "先方が応答しません"),
        ("fulfil_order-3", 7, "a line\nand \x1b[2J another"),
    ],
    flexible=("error",),
)


def test_a_table_without_a_width_has_all_of_its_text() -> None:
    """Numbers stand on the right, control characters are shown, and nothing is lost."""
    texts = [line.text for line in lines(TABLE)]

    assert texts[1].startswith("fulfil_order-1      12  the airline")
    assert texts[1].endswith("when it will")
    assert texts[3].endswith("a line ⏎ and \\x1b[2J another")


def test_a_table_with_a_width_keeps_to_it() -> None:
    """The flexible column gives way; wide characters count double."""
    for line in lines(TABLE, 40):
        assert cell_len(line.text) <= 40
    assert [line.text for line in lines(TABLE, 40)][1].startswith("fulfil_order-1")


def test_a_row_in_full_goes_on_in_a_second_line() -> None:
    """What failed is told completely, however narrow the terminal."""
    shown = list(lines(TABLE._replace(in_full=frozenset({0})), 40))

    told = "".join(line.text[24:] for line in shown if line.row == 0)
    assert told.replace(" ", "") == TABLE.rows[0][2].replace(" ", "")


def test_times_are_utc_to_the_millisecond() -> None:
    """Every time in a table looks the same."""
    moment = datetime(2026, 3, 1, 2, 17, 5, 120_000, tzinfo=UTC)
    assert list(lines(Table(("at",), [(moment,)])))[1].text == "2026-03-01T02:17:05.120Z"


def test_a_terminal_has_colours_unless_they_are_not_wanted(shop: Shell) -> None:
    """`NO_COLOR` is obeyed."""
    colour = "\x1b[33m"
    assert colour in _on_terminal(shop)
    assert colour not in _on_terminal(shop, NO_COLOR="1")


def _on_terminal(shell: Shell, **environment: str) -> str:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [PROGRAM, "list", "--status", "compensated", "--limit", "3"],
        cwd=shell.folder,
        env={**shell.environment, "TERM": "xterm-256color", "COLUMNS": "110", **environment},
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    os.close(theirs)
    assert done.returncode == 0
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    return shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux: the other end is closed, and nothing is left
        return b""
