"""Pages whose examples are whole programs: each runs as it stands, and prints what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

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
