"""The entry point: run one command, and exit with the code that tells how it ended."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from .exit_codes import ExitCode


def main() -> NoReturn:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character must not fail a command
    code = run(sys.argv[1:])
    _flush()
    raise SystemExit(int(code))


def run(words: list[str]) -> ExitCode:
    """Run one command; every error becomes one line on stderr and an exit code."""
    from cyclopts import CycloptsError

    from .registry import build

    try:
        result = build()(_command_first(words))
        sys.stdout.flush()
    except CycloptsError as error:
        return _fail(_usage(error), ExitCode.USAGE)
    except KeyboardInterrupt:
        return _fail("interrupted", ExitCode.INTERRUPTED)
    except BrokenPipeError:
        return _reader_left()
    except Exception as error:  # noqa: BLE001 -- the last boundary: a person reads what follows
        return _explain(error)
    return result if isinstance(result, ExitCode) else ExitCode.OK


def _command_first(words: list[str]) -> list[str]:
    """Move the options of every command from before its name to the end: `sagaledger --db URL list` is valid too."""
    moved: list[str] = []
    rest = list(words)
    while rest and (rest[0] == "--json" or rest[0].startswith(("--db", "--app"))):
        moved.append(rest.pop(0))
        if moved[-1] in ("--db", "--app") and rest:
            moved.append(rest.pop(0))
    return [*rest, *moved] if rest else words


def _explain(error: Exception) -> ExitCode:
    from ...domain.errors import SagaledgerError

    if os.environ.get("SAGALEDGER_DEBUG") == "1":
        import traceback

        traceback.print_exc()
    if isinstance(error, SagaledgerError):
        from .exit_codes import exit_code_of

        return _fail(str(error), exit_code_of(error))
    return _fail(
        f"unexpected {type(error).__name__}: {error}; this is a bug: run it again with SAGALEDGER_DEBUG=1 "
        "and report the traceback",
        ExitCode.INTERNAL,
    )


def _usage(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{text} (see `sagaledger --help` and `sagaledger COMMAND --help`)"


def _fail(message: str, code: ExitCode) -> ExitCode:
    from .output.text import one_line

    sys.stderr.write(f"sagaledger: {one_line(message)}\n")
    return code


def _reader_left() -> ExitCode:
    """End without an error when the reader of stdout has closed it, as `| head` does."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    return ExitCode.OK


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _reader_left()
