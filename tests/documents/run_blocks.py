"""Runs blocks of Python of a page in one namespace: `python run_blocks.py BLOCKS.json`.

Before each block but the first it prints a line that separates what they print.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

SEPARATOR = "\x1e\n"


def run(blocks: list[tuple[str, int, str]]) -> None:
    """Each is a page, a line, and the code that begins there."""
    module = ModuleType("__main__")
    module.__file__ = str(Path.cwd() / "page.py")
    sys.modules["__main__"] = module
    sys.path[0] = str(Path.cwd())
    for number, (page, line, code) in enumerate(blocks):
        if number:
            print(SEPARATOR, end="", flush=True)
        exec(compile("\n" * (line - 1) + code, page, "exec"), module.__dict__)  # noqa: S102 -- it is our own page
    sys.stdout.flush()
    if "sagaledger" in sys.modules:
        for value in list(vars(module).values()):
            if isinstance(value, sys.modules["sagaledger"].Saga):
                assert value.definition.fingerprint, "each saga that a page declares can work"


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
