"""Checks the site that `make docs` built: `python -m tests.documents.built_site FOLDER`.

It has every page, and every public name once, and a browser that shows it asks no other machine for anything.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import sagaledger

from .page import ROOT

LOADED = re.compile(
    r'<(?:script|img|iframe)[^>]+src="([^"]+)"|<link[^>]+rel="(?:stylesheet|preload|icon)"[^>]+href="([^"]+)"'
)
STYLED = re.compile(r"""url\(\s*['"]?(https?:[^)]+)|@import\s+['"](https?:[^'"]+)""")
DOCUMENTED = re.compile(r'<dt[^>]* id="sagaledger\.(\w+)"')
ELSEWHERE = ("http:", "https:", "//")


def faults(site: Path) -> list[str]:
    """What is wrong with the site, in words."""
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(site.rglob("*.html"))}
    expected = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    found = [f"there is no page {page}" for page in sorted(expected) if site / page not in pages]
    for path, text in pages.items():
        loaded = ["".join(pair) for pair in LOADED.findall(text)]
        found += [f"{path.name} loads {link}" for link in loaded if link.startswith(ELSEWHERE)]
    for path in sorted(site.rglob("*.css")):
        found += [f"{path.name} loads {''.join(pair)}" for pair in STYLED.findall(path.read_text(encoding="utf-8"))]
    names = Counter(name for text in pages.values() for name in DOCUMENTED.findall(text))
    found += [f"{name} is documented {names[name]} times" for name in sagaledger.__all__ if names[name] != 1]
    if not (site / "searchindex.js").exists():
        found.append("there is no index to search")
    return found


if __name__ == "__main__":
    wrong = faults(Path(sys.argv[1]))
    print("\n".join(wrong) or "every page and every public name is there, and nothing is loaded from elsewhere")
    sys.exit(bool(wrong))
