"""The entry point: run one command, and exit with the code that tells how it ended."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from ...domain.user_code import shown
from ..runtime.gc_tuning import tune_gc
from .exit_codes import ExitCode
from .output.streams import AnswerNotWritten, discard_answer, flush_answer, prepare_streams, write_message
from .output.text import one_line
from .usage import require_unicode


def main() -> NoReturn:
    """Run the command line of this process."""
    tune_gc()
    prepare_streams()
    code = run(sys.argv[1:])
    try:
        flush_answer()
    except (AnswerNotWritten, BrokenPipeError):  # `run` has said so, or has ended with another error
        discard_answer()
    raise SystemExit(int(code))


def run(words: list[str]) -> ExitCode:
    """Run one command; every error becomes one line on stderr and an exit code."""
    from cyclopts import CycloptsError

    from .registry import build

    try:
        for number, word in enumerate(words, start=1):
            require_unicode(f"argument {number}", word)
        result = build()(_command_first(words))
        flush_answer()
    except CycloptsError as error:
        return _fail(_usage(error), ExitCode.USAGE)
    except KeyboardInterrupt:
        return _fail("interrupted", ExitCode.INTERRUPTED)
    except BrokenPipeError:  # the reader of stdout has closed it, as `| head` does: that is no error
        discard_answer()
        return ExitCode.OK
    except AnswerNotWritten as error:
        discard_answer()
        return _explain(error)
    except Exception as error:  # noqa: BLE001 -- the last boundary: a person reads what follows
        return _explain(error)
    return result if isinstance(result, ExitCode) else ExitCode.OK


def _command_first(words: list[str]) -> list[str]:
    """Move the options of every command from before its name to the end: `sagaledger --db URL list` is valid too."""
    moved: list[str] = []
    rest = list(words)
    while rest and (rest[0] == "--json" or rest[0].startswith(("--db", "--app", "--width"))):
        moved.append(rest.pop(0))
        if moved[-1] in ("--db", "--app", "--width") and rest:
            moved.append(rest.pop(0))
    return [*rest, *moved] if rest else words


def _explain(error: Exception) -> ExitCode:
    from ...domain.errors import SagaledgerError

    if os.environ.get("SAGALEDGER_DEBUG") == "1":
        _write_traceback(error)
    if isinstance(error, SagaledgerError):
        from .exit_codes import exit_code_of

        return _fail(shown(error), exit_code_of(error))
    return _fail(
        f"unexpected {type(error).__name__}: {shown(error)}; this is a bug: run it again with SAGALEDGER_DEBUG=1 "
        "and report the traceback",
        ExitCode.INTERNAL,
    )


def _write_traceback(error: Exception) -> None:
    import traceback

    for line in "".join(traceback.format_exception(error)).splitlines():
        write_message(line)


def _usage(error: Exception) -> str:
    text = " ".join(shown(error).split())
    return f"{text} (see `sagaledger --help` and `sagaledger COMMAND --help`)"


def _fail(message: str, code: ExitCode) -> ExitCode:
    write_message(f"sagaledger: {one_line(message)}")
    return code
