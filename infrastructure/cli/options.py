"""The options of every command: which database, which app, and the form of the answer."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Group, Parameter

from ..event_store.redaction import has_secret
from .arguments import between
from .output.text import shell_word

if TYPE_CHECKING:
    from ..ledger.moment import Moment

_OF_THE_LOG = "a position of the log (@1897), a time (2026-03-01T02:17:05Z), or so long ago (7d, 36h, 90m)"
_OF_A_SAGA = f"a version of the saga (v14), {_OF_THE_LOG}"
SagaMomentText: TypeAlias = Annotated[str, Parameter(help=f"A moment: {_OF_A_SAGA}.")]
LogMomentText: TypeAlias = Annotated[str, Parameter(help=f"A moment: {_OF_THE_LOG}.")]
AtSagaMoment: TypeAlias = Annotated[str | None, Parameter(help=f"As it was then: {_OF_A_SAGA}.")]
AtLogMoment: TypeAlias = Annotated[str | None, Parameter(help=f"As it was then: {_OF_THE_LOG}. Needs the view's app.")]

WIDTH_MIN = 40
"""A terminal that is narrower gets lines for this width."""
WIDTH_MAX = 1_000
EVERYWHERE = Group("Options of every command", sort_key=100)


@Parameter(name="*", group=EVERYWHERE)
@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of every command."""

    db: Annotated[
        str | None,
        Parameter(
            help="The ledger: sqlite:///FILE or postgresql://… [default: $SAGALEDGER_DB or sqlite:///sagaledger.db]"
        ),
    ] = None
    app: Annotated[
        str | None,
        Parameter(help="Your sagas: module:object, file.py:object, or shop [default: $SAGALEDGER_APP or none]"),
    ] = None
    json: Annotated[bool, Parameter(negative="", help="Answer with one JSON object.")] = False
    width: Annotated[
        int | None,
        Parameter(
            help="Answer with a screen of this width [default: that of the terminal; in a pipe, nothing is cut].",
            validator=between(WIDTH_MIN, WIDTH_MAX),
        ),
    ] = None

    def again(self, *words: str) -> str:
        """Return a command line to copy, for the same ledger and app. It never contains a password."""
        line = [_program(), *words]
        if self.db is not None and not has_secret(self.db):
            line += ["--db", self.db]
        if self.app is not None:
            line += ["--app", self.app]
        return " ".join(map(shell_word, line))


DEFAULTS = Options()


def read_moment(text: str) -> Moment:
    """Read the text of a moment, as every command that looks into the past takes it. Raises `InvalidInput`."""
    from ..ledger.moment import Moment
    from ..read_models.relative_time import utc_now

    return Moment.read(text, utc_now())


def _program() -> str:
    """Return how this program can be called here: by its name, or by the path by which it was called."""
    called = Path(sys.argv[0])
    found = shutil.which("sagaledger")
    if called.name != "sagaledger" or (found is not None and Path(found).resolve() == called.resolve()):
        return "sagaledger"
    try:
        return os.path.relpath(called) if called.is_absolute() and called.is_relative_to(Path.cwd()) else str(called)
    except FileNotFoundError:  # the current folder was removed
        return str(called)
