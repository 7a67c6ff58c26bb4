"""The README is true: its code and its commands run as they stand, and print what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from sagaledger import Ledger, Status

from ..documents.page import Page
from ..documents.run_page import PageRun

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLE = ROOT / "examples" / "book_trip.py"
PROGRAM = Path(sys.executable).with_name("sagaledger")
LINES_MAX = 120
TARGETS = re.findall(r"`make (\w+)`", README)


def blocks(language: str) -> Sequence[str]:
    """Return the fenced blocks of a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_readme_prints_what_it_says(followed: PageRun) -> None:
    """Its two files of Python and its session, in an empty folder, each command as a process that nothing prepared."""
    assert followed.mismatches == []
    assert [block.language for block in followed.ran] == ["python", "python", "sh"]
    session = followed.printed[followed.ran[-1]]
    assert "fulfil_order-536366  compensated" in session
    assert re.search(r"^ok: [\d,]+ events", session, re.MULTILINE)


def test_the_saga_is_an_app_for_the_command_line(folder: Path) -> None:
    """`--app book_trip.py:app` starts and drives it from a shell."""
    options = ["--app", "book_trip.py:app", "--db", "sqlite:///trips.db"]

    run([PROGRAM, "start", "book_trip", *options, "--input", '{"trip_id": "3", "city": "Atlantis"}'], folder)
    worked = run([PROGRAM, "worker", "--until-idle", *options], folder)

    assert "cancelling flight LH-3" in worked.stdout
    with Ledger.open(f"sqlite:///{folder / 'trips.db'}") as ledger:
        assert ledger.state("book_trip-3").status is Status.COMPENSATED


def test_the_test_of_the_saga_can_fail(folder: Path) -> None:
    """It would tell that a step is not compensated."""
    saga = folder / "book_trip.py"
    saga.write_text(saga.read_text().replace("    print(f", '    raise OSError("no answer")\n    print(f', 1))

    tested = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_book_trip.py"], folder, code=1)

    assert "1 failed" in tested.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_make_has_the_targets_that_the_readme_names(target: str) -> None:
    """`make demo` and `make test`."""
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_longer_example_runs(url: str, tmp_path: Path) -> None:
    """One trip is booked, the other is compensated, on either backend."""
    ran = run([sys.executable, EXAMPLE, url], tmp_path)

    assert "gave back LH-2" in ran.stdout
    assert "book_trip-1: completed" in ran.stdout
    assert "book_trip-2: compensated, step book_hotel failed (StepRejected)" in ran.stdout


def test_the_readme_is_short() -> None:
    """Everything else is in docs/."""
    assert len(README.splitlines()) <= LINES_MAX


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> PageRun:
    """What came of following the README."""
    run = PageRun(Page.of(ROOT / "README.md"), tmp_path_factory.mktemp("readme"), real=True)
    run.run()
    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that has the README's two blocks of Python as the files that it names, and nothing else."""
    names = re.findall(r"[Ss]ave this as `(\w+\.py)`", README)
    for name, code in zip(names, blocks("python"), strict=True):
        (tmp_path / name).write_text(code)
    return tmp_path


def run(command: Sequence[str | Path], folder: Path, *, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, as a user would whose shell finds `sagaledger`."""
    ran = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=100
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran


def environment() -> Mapping[str, str]:
    """Return this process's environment without a ledger or an app, and with the package's programs on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SAGALEDGER_", "PYTEST_"))}
    return {**kept, "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"}
