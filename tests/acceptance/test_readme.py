"""What the README shows is a file that runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sagaledger import Ledger

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "book_trip.py"
PROGRAM = Path(sys.executable).with_name("sagaledger")


def readme_code() -> str:
    """The saga of the README."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]


def test_the_saga_of_the_readme_is_the_one_of_the_example() -> None:
    """Every step of it, word for word."""
    example = re.sub(r"\n+", "\n", EXAMPLE.read_text())

    definition = re.sub(r"\n+", "\n", readme_code().partition("\nwith Ledger")[0])

    assert definition.strip() in example


def test_the_example_runs(url: str, tmp_path: Path) -> None:
    """One trip is booked, the other is undone."""
    done = subprocess.run([sys.executable, EXAMPLE, url], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "gave back LH-2" in done.stdout
    assert "book_trip-1: completed" in done.stdout
    assert "book_trip-2: compensated, step book_hotel failed (StepRejected)" in done.stdout


def test_the_example_is_an_app_for_the_command_line(tmp_path: Path) -> None:
    """`--app` runs it from a shell, as the README says."""
    (tmp_path / "examples").mkdir()
    shutil.copy(EXAMPLE, tmp_path / "examples")
    url = f"sqlite:///{tmp_path / 'trips.db'}"
    app = ("--app", "examples.book_trip:app", "--db", url)

    started = subprocess.run(
        [PROGRAM, "start", "book_trip", *app, "--input", '{"trip_id": "3", "city": "Rome"}'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert started.returncode == 0, started.stderr
    with Ledger.open(url) as ledger:
        assert ledger.history("book_trip-3")[0].stream_id == "book_trip-3"


def test_the_readme_fits_its_size() -> None:
    """About 120 lines: the rest is in docs/."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 125


@pytest.mark.parametrize("page", re.findall(r"\]\(([\w./-]+)\)", (ROOT / "README.md").read_text()))
def test_what_the_readme_links_to_is_there(page: str) -> None:
    """No dead links."""
    assert (ROOT / page).exists(), page
