"""Runs pages: `python -m tests.documents [--update] [--real] [--postgresql URL] [PAGE…]`, by default all of them.

`--update` writes what was printed into the page, wherever the page says something else: read the difference, and put
`…` where a part does not matter.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from .page import PAGES, Page
from .run_page import PageRun, updated


def main() -> None:
    """Run the pages that are named."""
    parser = argparse.ArgumentParser(description="Run the blocks of pages.")
    parser.add_argument("pages", nargs="*", type=Path, default=PAGES)
    parser.add_argument("--update", action="store_true", help="write what was printed into the page")
    parser.add_argument("--real", action="store_true", help="each command is a process of its own")
    parser.add_argument("--postgresql", help="the URL of an empty schema for pages that need one")
    given = parser.parse_args()
    wrong = False
    for path in given.pages:
        page = Page.of(path.resolve())
        if page.postgresql and not given.postgresql:
            print(f"{page.name}: left out: it needs --postgresql")
            continue
        with TemporaryDirectory(prefix="sagaledger-page-") as folder:
            run = PageRun(page, Path(folder), real=given.real, postgresql=given.postgresql)
            try:
                run.run()
            except AssertionError as error:
                wrong = True
                print(error)
        print(f"{page.name}: {len(run.ran)} of {len(page.blocks)} blocks run")
        for mismatch in run.mismatches:
            wrong = True
            print(mismatch)
        if given.update and run.mismatches:
            path.write_text(updated(page, run.mismatches), encoding="utf-8")
    sys.exit(wrong)


if __name__ == "__main__":
    main()
