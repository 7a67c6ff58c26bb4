"""Commands: how long a person at a terminal waits for `version` and `list`, beside the imports of their libraries."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from .findings import Findings
from .measuring import in_turn, seconds_of
from .orders import COMMAND

LIBRARIES = "import cyclopts, msgspec, rich.text, sqlalchemy, sqlite3"
"""What `list` needs whatever it does."""


def measure_commands(url: str, backend: str, rounds: int, found: Findings) -> None:
    """Measure the commands in processes of their own; the ratio compares `list` with importing its libraries."""
    contenders = {
        "version": partial(_seconds, [COMMAND, "version"]),
        "list": partial(_seconds, [COMMAND, "--db", url, "list"]),
        "libraries": partial(_seconds, [sys.executable, "-c", LIBRARIES]),
    }
    ran = in_turn(contenders, rounds)
    for name in contenders:
        found.figures[f"{name}_process_{backend}_seconds"] = ran.median(name)
    found.ratios[f"list_process_vs_imports_{backend}"] = ran.ratio("libraries", "list")


def _seconds(command: list[str]) -> float:
    return seconds_of(partial(subprocess.run, command, check=True, capture_output=True))
