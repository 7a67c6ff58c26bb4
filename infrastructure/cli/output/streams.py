"""Stdout and stderr: the only module that writes to them, and what follows when they cannot be written."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import TextIO

from ..usage import UsageError
from .text import visible

STANDARD_DESCRIPTORS = 3

_encode: Callable[[str], str] | None = None


class AnswerNotWritten(UsageError):
    """Stdout cannot be written, because its disk is full, for example. What the command recorded stays recorded."""

    def __init__(self, error: OSError) -> None:
        super().__init__(
            f"the answer cannot be written to stdout: {error.strerror or error}; what the command recorded is kept"
        )


class _AnswerFile(io.FileIO):
    """A stdout whose failures are told apart from those of all other files."""

    def write(self, content: bytes, /) -> int:  # type: ignore[override]  # the buffer above passes bytes only
        try:
            return super().write(content)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise AnswerNotWritten(error) from error


def prepare_streams() -> None:
    """Make stdin, stdout and stderr usable: a closed one is empty, and characters that it lacks are shown escaped.

    A closed descriptor would otherwise become that of the next file that is opened, such as the ledger's.
    """
    for descriptor in range(STANDARD_DESCRIPTORS):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, so this descriptor
    encoding = "utf-8" if sys.stdout is None else sys.stdout.encoding
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 -- as long as the process
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_AnswerFile(1, "w", closefd=False)), encoding, "backslashreplace", line_buffering=os.isatty(1)
    )
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 -- as long as the process
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")


def write_line(text: str) -> None:
    """Write one line of an answer, visible. Raises `AnswerNotWritten`, and `BrokenPipeError` when its reader left."""
    sys.stdout.write(f"{visible(text)}\n")


def write_text(text: str) -> None:
    """Write a part of an answer as it is. Raises as `write_line` does."""
    sys.stdout.write(text)


def write_json(text: str) -> None:
    """Write an answer that is visible JSON. Raises as `write_line` does."""
    sys.stdout.write(f"{text}\n")


def messages_as_json(encode: Callable[[str], str] | None) -> None:
    """Write each message from here on as this function encodes it; None: as text."""
    global _encode
    _encode = encode


def write_message(text: str) -> None:
    """Write a message on one line of stderr. A message that stderr does not take is lost: nothing else could say so."""
    _write_on_stderr(visible(text) if _encode is None else _encode(text))


def write_json_message(text: str) -> None:
    """Write a message that is visible JSON on one line of stderr."""
    _write_on_stderr(text)


def _write_on_stderr(line: str) -> None:
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def flush_answer() -> None:
    """Hand over what was written of the answer. Raises as `write_line` does."""
    sys.stdout.flush()


def discard_answer() -> None:
    """Drop what stdout could not take, so that the end of the process does not try to write it again."""
    _discard(sys.stdout)


def _discard(stream: TextIO) -> None:
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # a stand-in that has none
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
