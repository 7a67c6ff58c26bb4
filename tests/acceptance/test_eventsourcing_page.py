"""The page about applications of the `eventsourcing` library: its program runs, and its commands answer."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from ..cli.shell import Shell

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "eventsourcing.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "eventsourcing_app"


def blocks(kind: str) -> list[str]:
    """Return the blocks of one kind."""
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_code_is_that_of_the_example() -> None:
    """So that it runs: the test below runs the example."""
    program = (EXAMPLE / "transfers.py").read_text(encoding="utf-8")
    assert len(blocks("python")) == 5
    assert [block for block in blocks("python") if block not in program] == []


def test_the_commands_answer_as_the_page_says(tmp_path: Path) -> None:
    """The example, its view, its history and its proof."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shell = Shell(tmp_path)
    printed: list[str] = []
    (commands,) = blocks("sh")
    for command in commands.splitlines():
        program, *words = command.split()
        if program == "export":
            name, _, value = words[0].partition("=")
            shell.environment[name] = value
        elif program == "python":
            ran = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=True)
            printed.append(ran.stdout)
        else:
            done = shell(*words)
            assert done.returncode == 0, done.stderr
            printed.append(done.stdout)

    example, view, history, proof = printed
    assert example == blocks("text")[0]
    assert [line.split()[1:] for line in view.splitlines()[1:]] == [["ben", "300"], ["ann", "300"]]
    topics = ["StepStarted", "bank:Account.Withdrawn", "bank:Account.Deposited", "StepSucceeded"]
    assert re.search(r"\s.*?\n.*".join(map(re.escape, topics)), history)
    assert "bank:Letter.Sent" in history
    assert proof.startswith("ok: 17 events")
