"""Pages whose examples are whole programs: each runs as it stands, and prints what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sagaledger import Saga

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("sagas.md", "Without a worker, and asynchronously"),
        ("sagas.md", "Testing"),
        ("operating.md", "The health of a worker"),
    ],
)
def test_the_program_of_a_section_prints_what_the_page_says(page: str, heading: str, tmp_path: Path) -> None:
    """Its first block of Python, and the block of text that follows."""
    [section] = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    [(program, printed)] = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", section, re.DOTALL)

    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == printed


@pytest.mark.parametrize(
    "headings",
    [
        ("Steps over a list", "Conditions"),
        ("Retries, failures and heartbeats",),
        ("Types",),
        ("Schedules",),
        ("Changing a saga that runs",),
    ],
    ids=lambda headings: headings[0],
)
def test_the_declarations_of_a_section_are_taken(
    headings: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocks of Python of these sections, one after the other, run; each saga that they declare can work."""
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "sagas.md").read_text()
    names: dict[str, Any] = {"__name__": "page", "__file__": str(tmp_path / "page.py")}
    for heading in headings:
        [section] = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
        exec("".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL)), names)  # noqa: S102 -- it is our own page

    for value in list(names.values()):
        if isinstance(value, Saga):
            assert value.definition.fingerprint
