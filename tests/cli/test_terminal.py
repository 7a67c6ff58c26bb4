"""What a terminal could obey or hide is shown escaped, in every answer, message and command line to copy."""

from __future__ import annotations

import ast
import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from sagaledger.domain.user_code import shown
from sagaledger.infrastructure import cli
from sagaledger.infrastructure.cli.options import Options
from sagaledger.infrastructure.cli.output.answer import answer, say
from sagaledger.infrastructure.cli.output.table import Table

from .shell import PROGRAM, Shell

CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
FORMATS = list("\xad\u061c\u200b\u200d\u200e\u200f\u2028\u2029\u202a\u202d\u202e\u2066\u2069\ufeff\ufff9\U000e0041")
SURROGATES = ["\ud800", "\udcff"]
OBEYED = [*CONTROLS, *FORMATS, *SURROGATES]
HOSTILE = "\x1b]0;owned\x07\x9b2J\u202egnp.exe\u2028"


@pytest.mark.parametrize("character", OBEYED, ids=lambda character: f"U+{ord(character):04X}")
def test_no_answer_or_message_has_such_a_character(capsys: pytest.CaptureFixture[str], character: str) -> None:
    """In text, tables and messages it is escaped; in JSON too, and there it is read back as it was."""
    value = f"a{character}b"
    answer(Options(), {}, lambda: [value, Table((value,), [[value], [[value.encode("utf-8", "replace").decode()]]])])
    say(value)
    text = capsys.readouterr()
    answer(Options(json=True), {"value": value}, list)
    encoded = capsys.readouterr().out

    shown = (text.out + text.err + encoded).replace("\n", "")
    assert shown.isprintable()
    assert json.loads(encoded)["value"] == (value if character not in SURROGATES else f"a\\u{ord(character):04x}b")


@pytest.mark.parametrize("word", [HOSTILE, "it's", "a b", "\\", "\x7f'\\\n", "é\u200b", "$(x)`y`", ""])
def test_a_command_line_to_copy_means_what_it_says(word: str) -> None:
    """bash reads back the word that was quoted, and the line itself is printable."""
    line = Options(app=word).again("show")
    assert line.isprintable()
    read = subprocess.run(
        ["bash", "-c", f'set -- {line.partition(" ")[2]}; printf %s "$3"'], capture_output=True, check=True
    )
    assert read.stdout.decode() == word


def test_an_error_that_cannot_be_shown_is_named() -> None:
    """Its own code raises; the message says so instead."""

    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert "RuntimeError" in shown(Odd())


def test_what_was_recorded_cannot_move_the_cursor_of_a_terminal(sqlite_shell: Shell) -> None:
    """Names, reasons and actors on a real terminal, where there are colours, and in a pipe."""
    order = '{"order_id":"T1","placed_at":"2026-03-01T02:17:05Z","lines":[{"sku":"S","quantity":1,"amount_minor":1}]}'
    sqlite_shell("start", "fulfil_order", "--app", "shop", "--input", order, "--actor", HOSTILE)
    done = sqlite_shell("signal", "fulfil_order-T1", HOSTILE, "--actor", HOSTILE, "--reason", HOSTILE)
    assert done.returncode in (0, 2, 4), done.stderr
    for words in (("show", "fulfil_order-T1"), ("history", "fulfil_order-T1"), ("show", HOSTILE)):
        shown = _on_terminal(sqlite_shell, *words)
        assert not any(mark in shown for mark in ("\x1b]", "\x9b", "\u202e", "\u2028", "\x07")), shown


def test_only_one_module_writes_to_stdout_and_stderr() -> None:
    """Every other one goes through its escape; rich writes the tables and bars of a terminal, from escaped text."""
    writers = set()
    for path in Path(cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in ("print", "os.write") or called.startswith(
                ("sys.stdout.write", "sys.stderr.write", "traceback.print")
            ):
                writers.add(path.name)
    assert writers == {"streams.py"}


def test_a_terminal_has_the_screen_of_its_width(shop: Shell) -> None:
    """In colours unless `NO_COLOR` is set. In a pipe `--width` gives the same lines, and without it none is wrapped."""
    words = ("list", "--status", "compensated", "--limit", "3")
    plain, coloured = (
        _on_terminal(shop, *words, TERM="xterm-256color", COLUMNS="64", **more) for more in ({"NO_COLOR": "1"}, {})
    )
    piped = shop("--width", "64", *words)

    assert "\x1b[3" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m|\r", "", plain) == piped.stdout + piped.stderr
    assert "\x1b[33mcompensated\x1b[0m" in coloured
    assert shop(*words).stdout.splitlines()[0].split() == [
        "saga_id",
        "status",
        "started_at",
        "seconds",
        "events",
        "step",
        "error",
    ]


def test_a_width_that_no_screen_has_is_refused(shop: Shell) -> None:
    """The message says which there are."""
    refused = shop("list", "--width", "39")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "from 40 to 1,000" in refused.stderr


def _on_terminal(shell: Shell, *words: str, **environment: str) -> str:
    """What a command writes on a terminal."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [PROGRAM, *words],
        cwd=shell.folder,
        env={**shell.environment, **environment},
        stdout=slave,
        stderr=slave,
        stdin=slave,
    ) as process:
        os.close(slave)
        content = b""
        try:
            while chunk := os.read(master, 65536):
                content += chunk
        except OSError:  # the other side was closed
            pass
        process.wait()
    os.close(master)
    return content.decode()
