"""The page on testing: its module and its files of tests run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PLUGIN = ("-p", "no:cacheprovider", "-p", "no:sagaledger", "-p", "sagaledger.infrastructure.testing.plugin")
"""The plugin, wherever it is registered."""
PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")


def test_every_block_of_the_page_passes(tmp_path: Path) -> None:
    """The first block is the module that the others test."""
    module, *blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "orders.py").write_text(module, encoding="utf-8")
    for number, block in enumerate(blocks):
        (tmp_path / f"test_block_{number}.py").write_text(block, encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *PLUGIN, "-W", "error", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6000:]
    assert f"{PAGE.count(chr(10) + 'def test_')} passed" in done.stdout
