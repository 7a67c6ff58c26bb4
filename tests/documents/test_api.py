"""The API reference has every public name once, and each leads to the file that declares it."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

import sagaledger
from sagaledger.infrastructure.testing import plugin

from .page import ROOT

PAGES = sorted((ROOT / "docs" / "api").glob("*.md"))
LISTED = [
    (page, name, file)
    for page in PAGES
    for name, file in re.findall(r"^- \[`(\w+)`\]\(([^)]+)\)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]
FIXTURES = [name for name, value in vars(plugin).items() if type(value).__name__ == "FixtureFunctionDefinition"]
DOCUMENTED_BESIDES = ["EVERY_ROW", "RowsWhere", "UtcDateTime"]
"""What `docs/views.md` names besides the public API, for views of one's own."""


def test_the_reference_has_every_public_name_once() -> None:
    """Those of the package, the fixtures of the pytest plugin, and a few for views."""
    found = Counter(name for _, name, _ in LISTED)

    assert found == Counter([*sagaledger.__all__, *FIXTURES, *DOCUMENTED_BESIDES])
    assert len(FIXTURES) == len(set(FIXTURES)) > 5


@pytest.mark.parametrize(("page", "name", "file"), LISTED, ids=[name for _, name, _ in LISTED])
def test_a_name_leads_to_the_file_that_declares_it_and_has_a_docstring(page: Path, name: str, file: str) -> None:
    """Of a value the docstring stands below it."""
    source = (page.parent / file).resolve()
    module = import_module("sagaledger." + str(source.relative_to(ROOT).with_suffix("")).replace("/", "."))
    value = getattr(module, name)

    text = source.read_text(encoding="utf-8")
    assert re.search(rf"^(?:class|def|async def) {name}\b|^{name}\b.* = ", text, re.MULTILINE)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__doc__
    else:
        assert re.search(rf'^{name}\b.* = .*\n"""|^def {name}\(.*\n    """', text, re.MULTILINE)
