"""The how-to of upgrades, on a ledger that version 0.1.0 wrote."""

from __future__ import annotations

import lzma
from pathlib import Path

from ..documents.page import ROOT
from ..documents.run_page import PageRun
from .guide import blocks_run_by, only_with_make_guides

OLD = ROOT / "tests" / "compatibility" / "v0_1_0" / "ledger.db.xz"


@only_with_make_guides
def test_an_old_ledger_is_upgraded_as_the_page_says(tmp_path: Path) -> None:
    """It verifies before and after, under the head that it had."""
    (tmp_path / "old.db").write_bytes(lzma.decompress(OLD.read_bytes()))
    run = PageRun(blocks_run_by("test_upgrades.py", "upgrades.md"), tmp_path)

    run.run()

    assert not run.mismatches, "\n\n".join(map(str, run.mismatches))
