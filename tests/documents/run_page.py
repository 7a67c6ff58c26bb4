"""Runs the blocks of a page, from the top down, in a folder of the page's own, and compares what they print.

A block of

- `python` is a program. If a block of `text` follows directly, that is what it prints.
- any language that is a file (see `page.py`) is written. A block of `text` directly below a Python file is what the
  file prints when it is run; a file `test_*.py` is run by pytest, unless a block of `console` follows, which says how.
- `console` has commands after `$`, which continue after `>`, and below each what it prints, errors included: to a file,
  or to a terminal if the page says how wide that is. A command may fail if the page shows what it prints then.
- `sh` has commands, none of which may fail.
- `sql` is executed on the SQLite file that a comment names.
- `json`, `toml`, `yaml` and `ini` is parsed.
- `text`, or of no language, that stands anywhere else is a picture, and is not looked at.
"""

from __future__ import annotations

import configparser
import contextlib
import json
import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from ..cli.fork_server import fork_server
from .compare import is_same
from .page import Block, Page
from .run_blocks import SEPARATOR
from .terminal import ENVIRONMENT, Output, Terminal

PATIENCE_SECONDS = 100.0
HOST = socket.gethostname()
PICTURES = ("", "text")
PROGRAMS = Path(sys.executable).parent
READER = {"USER": "ann", "LOGNAME": "ann", "PYTHONUNBUFFERED": "1"}
"""Who follows the pages, and sees lines in the order in which they are printed."""
IN_A_FORK = "-p no:cacheprovider -W ignore::pytest.PytestAssertRewriteWarning"
"""For pytest in a process that has imported sagaledger already."""
SHELL_SYNTAX = re.compile(r"[|&;<>$`*?(){}#~\\\n]")


@dataclass
class Mismatch(AssertionError):
    """A block printed something else than the page says; `printed` is what the page would have to say."""

    block: Block
    what: str
    expected: str
    printed: str
    updated: str | None = None

    def __str__(self) -> str:
        return f"{self.block.place}: {self.what} should print\n{self.expected}\nand prints\n{self.printed}"


class PageRun:
    """A reader who does everything that a page says. With `real`, each command is a process that nothing prepared."""

    def __init__(self, page: Page, folder: Path, *, real: bool = False, postgresql: str | None = None) -> None:
        self.page = page
        self.folder = folder
        self._here = folder
        self._real = real
        self._postgresql = postgresql
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SAGALEDGER_", "SAGA_", "PYTEST_", "NO_COLOR", "COLUMNS", "COV_"))
        }
        self._environment = {**kept, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}", **READER}
        if page.columns:
            self._environment |= ENVIRONMENT
        if not real:
            self._environment["PYTEST_ADDOPTS"] = IN_A_FORK
        self._groups: list[int] = []
        self.ran: list[Block] = []
        self.printed: dict[Block, str] = {}
        self.mismatches: list[Mismatch] = []

    def run(self) -> None:
        """Run everything. Raises `AssertionError` for a failure; what is printed wrongly is in `mismatches`."""
        try:
            if self.page.before:
                self._python([Block(self.page.name, 1, "python", self.page.before, {})])
            blocks = iter(enumerate(self.page.blocks))
            for number, block in blocks:
                if "not run" in block.markers or "run by" in block.markers:
                    continue
                if block.language in PICTURES and block.file is None:
                    continue
                self.ran.append(block)
                if block.file is not None:
                    self._write(block, self._after(number))
                elif block.language == "python":
                    group = list(self._group(number))
                    self._python(group)
                    for _ in group[1:]:
                        self.ran.append(next(b for b in blocks if b[1].language == "python")[1])
                else:
                    self._other(block)
        finally:
            for group_id in self._groups:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group_id, signal.SIGKILL)

    def _after(self, number: int) -> Block | None:
        return self.page.blocks[number + 1] if number + 1 < len(self.page.blocks) else None

    def _printed_by(self, block: Block) -> Block | None:
        """The block of text directly below a block, which has what it prints."""
        after = self._after(self.page.blocks.index(block))
        if after is None or after.language != "text" or after.markers or after.file:
            return None
        ends = block.line + block.content.count("\n") + 1
        between = self.page.text.split("\n")[ends - 1 : after.line - 2]
        return after if not "".join(between).strip("` \n") else None

    def _group(self, number: int) -> Iterator[Block]:
        """The block of Python of this number, and those that continue it."""
        yield self.page.blocks[number]
        for block in self.page.blocks[number + 1 :]:
            if block.language in PICTURES:
                continue
            if "continues" not in block.markers:
                return
            yield block

    def _python(self, group: list[Block]) -> None:
        spec = self.folder / ".blocks.json"
        spec.write_text(json.dumps([(b.page, b.line, self._here_and_now(b.content)) for b in group]), encoding="utf-8")
        driver = str(Path(__file__).with_name("run_blocks.py"))
        code, output, errors = self._start("python", [driver, str(spec)])
        spec.unlink()
        assert code == 0, f"{group[0].place}: exit code {code}\n{output}{errors}"
        for block, printed in zip(group, output.split(SEPARATOR), strict=True):
            expected = self._printed_by(block) if block in self.page.blocks else None
            if expected is not None:
                self._compare(expected, "the program above", expected.content, printed)

    def _write(self, block: Block, after: Block | None) -> None:
        path = self._here / str(block.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = self._here_and_now(block.content)
        if block.append:
            content = path.read_text(encoding="utf-8").rstrip("\n") + "\n\n\n" + content
        path.write_text(content, encoding="utf-8")
        expected = self._printed_by(block)
        if expected is not None and path.suffix == ".py":
            code, output, errors = self._start("python", [str(block.file)])
            assert code == 0, f"{block.place}: exit code {code}\n{output}{errors}"
            self._compare(expected, f"python {block.file}", expected.content, output)
        elif path.name.startswith("test_") and (after is None or after.language != "console"):
            words = ["-m", "pytest", "-q", str(block.file)]
            code, output, errors = self._start("python", words)
            assert code == 0, f"{block.place}: {block.file} fails\n{output[-6000:]}{errors}"

    def _other(self, block: Block) -> None:
        content = self._here_and_now(block.content)
        parsers: dict[str, Callable[[str], object]] = {
            "json": json.loads, "toml": tomllib.loads, "yaml": _parse_yaml, "ini": _parse_ini,
        }  # fmt: skip
        if block.language == "console":
            self._console(block, content)
        elif block.language in ("sh", "bash"):
            self._script(block, content)
        elif block.language == "sql" and "sql" in block.markers:
            with sqlite3.connect(self._here / block.markers["sql"]) as connection:
                connection.executescript(content)
            connection.close()
        elif block.language in parsers:
            parsers[block.language](content)
        else:
            raise AssertionError(
                f"{block.place}: a block of {block.language!r} is not run. Say how in a comment above it, or why not: "
                "<!-- not run: KIND: WHY --> (tests/documents/page.py lists the comments)"
            )

    def _console(self, block: Block, content: str) -> None:
        written = []
        wrong = []
        for command, expected in commands(content):
            code, output, errors = self._command(" ".join(command.split("\\\n")))
            printed = (output + errors).replace(HOST, "host")
            shown = "".join(f"{'>' if n else '$'} {line}\n" for n, line in enumerate(command.split("\n")))
            if is_same(expected, printed):
                written.append(shown + expected)
            else:
                wrong.append(Mismatch(block, command, expected, printed))
                written.append(shown + printed)
            if code and not expected:
                raise AssertionError(f"{block.place}: {command}: exit code {code}\n{printed}")
        if wrong:
            wrong[-1].updated = "".join(written)
            self.mismatches += wrong

    def _script(self, block: Block, content: str) -> None:
        lines = [line for line in content.splitlines() if line and not line.startswith("#")]
        simple = all(self._simple(line) is not None or line.startswith("export ") for line in lines)
        for command in lines if simple and not self._real else [f"set -euo pipefail\n{content}"]:
            code, output, errors = self._command(command)
            self.printed[block] = self.printed.get(block, "") + output + errors
            assert code == 0, f"{block.place}: {command}: exit code {code}\n{output}{errors}"

    def _simple(self, command: str) -> tuple[str, list[str]] | None:
        """The program and its words, if no shell is needed to find them and the fork server has the program."""
        bare = re.sub(r"'[^']*'", "", command)
        if SHELL_SYNTAX.search(bare):
            return None
        words = shlex.split(command, comments=True)
        match words:
            case ["sagaledger", *rest]:
                return "sagaledger", rest
            case ["python" | "python3", "-m", _, *_] | ["python" | "python3", str(), *_] if words[1] != "-c":
                return "python", words[1:]
            case ["pytest", *rest]:
                return "python", ["-m", "pytest", *rest]
            case _:
                return None

    def _command(self, command: str) -> tuple[int, str, str]:
        simple = self._simple(command)
        if simple is not None and not self._real:
            program, words = simple
            with TemporaryFile("w+") as given, self._output() as output:
                files = [given, output, output]
                code = fork_server().run(words, self._here, self._environment, files, PATIENCE_SECONDS, program=program)
            return code, output.text, ""
        with TemporaryFile("w+") as state, self._output() as output:
            # What a command leaves to those after it: its folder and its environment.
            script = f"{command}\ncode=$?\n{{ pwd; env -0; }} >/dev/fd/{state.fileno()}\nexit $code"
            process = subprocess.Popen(
                ["bash", "-c", script],
                cwd=self._here, env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                pass_fds=[state.fileno()], start_new_session=True,
            )  # fmt: skip
            self._groups.append(process.pid)
            code = process.wait(PATIENCE_SECONDS)
            state.seek(0)
            here, _, rest = state.read().partition("\n")
            if here:
                self._here = Path(here)
                self._environment = dict(pair.split("=", 1) for pair in rest.split("\0") if "=" in pair)
        return code, output.text, ""

    def _output(self) -> Output | Terminal:
        return Terminal(self.page.columns) if self.page.columns else Output()

    def _start(self, program: str, words: list[str]) -> tuple[int, str, str]:
        if self._real:
            ran = subprocess.run(
                [PROGRAMS / program, *words],
                cwd=self._here, env=self._environment, capture_output=True, text=True, check=False,
                stdin=subprocess.DEVNULL, timeout=PATIENCE_SECONDS,
            )  # fmt: skip
            return ran.returncode, ran.stdout, ran.stderr
        with TemporaryFile("w+") as given, TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
            files = [given, output, errors]
            code = fork_server().run(words, self._here, self._environment, files, PATIENCE_SECONDS, program=program)
            output.seek(0)
            errors.seek(0)
            return code, output.read(), errors.read()

    def _compare(self, block: Block, what: str, expected: str, printed: str) -> None:
        if not is_same(expected, printed):
            self.mismatches.append(Mismatch(block, what, expected, printed, printed))

    def _here_and_now(self, content: str) -> str:
        """What a block says, with the database that the tests have."""
        if self.page.postgresql and self._postgresql:
            return content.replace(self.page.postgresql, self._postgresql)
        return content


def commands(content: str) -> Iterator[tuple[str, str]]:
    """Each command of a console session, and what it prints."""
    command: list[str] = []
    printed = ""
    for line in content.splitlines():
        if line.startswith("$ "):
            if command:
                yield "\n".join(command), printed
            command, printed = [line[2:]], ""
        elif line.startswith("> ") and not printed:
            command.append(line[2:])
        else:
            if not command:
                raise AssertionError(f"a console session begins with a command after '$ ', not with {line!r}")
            printed += line + "\n"
    if command:
        yield "\n".join(command), printed


def updated(page: Page, mismatches: list[Mismatch]) -> str:
    """The text of a page with what its blocks printed in the place of what it says."""
    lines = page.text.split("\n")
    for mismatch in sorted(mismatches, key=lambda m: -m.block.line):
        if mismatch.updated is not None:
            first = mismatch.block.line - 1
            last = first + mismatch.block.content.count("\n")
            lines[first:last] = mismatch.updated.rstrip("\n").split("\n")
    return "\n".join(lines)


def _parse_ini(content: str) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(content)


def _parse_yaml(content: str) -> object:
    import yaml  # noqa: PLC0415 -- not every installation has it

    return yaml.safe_load(content)
