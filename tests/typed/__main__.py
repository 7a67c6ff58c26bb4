"""Checks the typed samples and the examples with mypy and with pyright: `python -m tests.typed`.

Both accept `right.py` and the examples without a complaint. In `wrong.py` both complain about each line that ends in a
comment with the code of mypy's error, and about no other line.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
UNTYPED = {"eventsourcing_app"}
"""Examples that a type checker cannot follow: their library makes the classes of events at run time."""
EXAMPLES = [path for path in sorted((ROOT / "examples").rglob("*.py")) if not UNTYPED & set(path.parts)]
FILES = [FOLDER / "right.py", FOLDER / "wrong.py", *EXAMPLES]
SECONDS_MAX = 300

Complaint = tuple[str, int, str]
"""A file relative to the root, a line, and the code of an error."""


def expected() -> set[Complaint]:
    """What `wrong.py` says of its own lines."""
    path = FOLDER / "wrong.py"
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return {
        (str(path.relative_to(ROOT)), number, match[1])
        for number, line in lines
        if (match := re.search(r"  # (\S+)$", line))
    }


def mypy() -> Iterator[Complaint]:
    """What mypy complains about."""
    for line in _output(
        "mypy", "--strict", "--no-error-summary", "--hide-error-context", *map(str, FILES)
    ).splitlines():
        if match := re.fullmatch(r"(\S+?):(\d+): error: .*\[([\w-]+)\]", line):
            yield match[1], int(match[2]), match[3]
        elif ": note: " not in line:
            raise SystemExit(line)


def pyright() -> Iterator[Complaint]:
    """What pyright complains about; its codes are not compared."""
    output = _output("basedpyright", "--outputjson", "--project", str(FOLDER), "--pythonpath", sys.executable)
    codes = {(file, line): code for file, line, code in expected()}
    for each in json.loads(output)["generalDiagnostics"]:
        file, line = str(Path(each["file"]).relative_to(ROOT)), each["range"]["start"]["line"] + 1
        if each["severity"] == "error":
            yield file, line, codes.get((file, line), each["rule"])


def _output(*command: str) -> str:
    program = str(Path(sys.executable).with_name(command[0]))
    done = subprocess.run(
        [program, *command[1:]],
        cwd=ROOT,
        env={
            **os.environ,
            # Their files import each other from these folders.
            "MYPYPATH": f"{ROOT / 'examples' / 'http_service'}:{ROOT / 'examples' / 'fastapi_shop'}",
        },
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    if done.stderr:
        raise SystemExit(done.stderr)
    return done.stdout


def wrong_about(checker: Callable[[], Iterator[Complaint]]) -> bool:
    """Print what a checker complains about and should not, and the other way round."""
    found, wanted = set(checker()), expected()
    for file, line, code in sorted(found - wanted):
        print(f"{file}:{line}: {checker.__name__} complains ({code})")
    for file, line, code in sorted(wanted - found):
        print(f"{file}:{line}: {checker.__name__} does not complain ({code})")
    return found != wanted


if __name__ == "__main__":
    sys.exit(any([wrong_about(mypy), wrong_about(pyright)]))
