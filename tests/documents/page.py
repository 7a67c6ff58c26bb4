"""Reads a page of Markdown: its fenced blocks, and what stands above each that says how the block is meant.

A block is run unless a comment above it says why not. The comments, each on a line of its own above the fence, with
blank lines at most between:

    <!-- continues -->                  this block of Python goes on where the one before it ended
    <!-- file: NAME -->                 the block is the file NAME, as after the words "save this as `NAME`"
    <!-- append to: NAME -->            it is added to the end of that file, as after the words "add this to `NAME`"
    <!-- sql: FILE -->                  a block of SQL is executed on this SQLite file
    <!-- not run: KIND: WHY -->         the block is not run (`NOT_RUN`)
    <!-- run by: tests/… -->            another test runs it
    <!-- before: CODE -->               not above a block: Python that is run first, and that readers do not see

and once in a page:

    <!-- postgresql: URL -->            wherever a block has this URL, it is run with that of an empty PostgreSQL schema
    <!-- terminal: COLUMNS -->          its console sessions are what a person sees on a terminal of this width
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "examples", "deploy", "benchmarks")
PAGES = [*sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md")), *sorted(ROOT.glob("*.md"))]
NOT_RUN = {
    "fragment": "a part of a program that stands elsewhere",
    "server": "it needs a server or a program that the tests do not have",
    "slow": "it takes minutes",
    "machine": "it changes the machine: packages, services, users",
}
KNOWN = {"continues", "file", "append to", "sql", "not run", "run by", "before", "postgresql", "terminal"}
FILE = re.compile(r"[Ss]ave (?:this|it) as\s+`([\w./-]+)`")
APPEND = re.compile(r"[Aa]dd (?:this|it) to\s+(?:the end of\s+)?`([\w./-]+)`")
MARKER = re.compile(r"<!--\s*([a-z][a-z ]*?)\s*(?::\s*(.*?))?\s*-->", re.DOTALL)
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)$")


@dataclass(eq=False)
class Block:
    """A fenced block: `line` is that of its first line of content, from 1."""

    page: str
    line: int
    language: str
    content: str
    markers: dict[str, str]
    file: str | None = None
    append: bool = False

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{self.page}:{self.line}"


@dataclass
class Page:
    """A page and its blocks, in order."""

    name: str
    text: str
    blocks: list[Block] = field(default_factory=list)
    before: str = ""
    postgresql: str | None = None
    columns: int | None = None

    @classmethod
    def of(cls, path: Path) -> Page:
        """Read the page at a path."""
        name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
        return cls.parse(name, path.read_text(encoding="utf-8"))

    @classmethod
    def parse(cls, name: str, text: str) -> Page:
        """Read a page's text. Raises `ValueError` for a comment that has no meaning here, and an open fence."""
        page = cls(name, text)
        lines = text.split("\n")
        above: list[str] = []
        number = 0
        while number < len(lines):
            opened = FENCE.match(lines[number])
            if opened is None:
                above.append(lines[number])
                number += 1
                continue
            end = next((n for n in range(number + 1, len(lines)) if lines[n].strip() == "```"), None)
            if end is None:
                raise ValueError(f"{name}:{number + 1}: the fence is never closed")
            indent = len(opened["indent"])
            content = "".join(line[indent:] + "\n" for line in lines[number + 1 : end])
            page.blocks.append(page._block(number + 2, opened["info"].strip(), content, above))
            above, number = [], end + 1
        for key, value in MARKER.findall(text):
            if key == "before":
                page.before += value + "\n"
            elif key == "postgresql":
                page.postgresql = value
            elif key == "terminal":
                page.columns = int(value)
        return page

    def _block(self, line: int, language: str, content: str, above: list[str]) -> Block:
        prose, comments = _split("\n".join(above))
        markers = dict(MARKER.findall(comments))
        block = Block(self.name, line, language, content, markers)
        paragraph = prose.strip().rsplit("\n\n", 1)[-1]
        files, appended = FILE.findall(paragraph), APPEND.findall(paragraph)
        block.append = "append to" in markers or bool(appended)
        block.file = markers.get("file") or markers.get("append to") or next(iter([*files, *appended][-1:]), None)
        unknown = set(markers) - {
            "continues",
            "file",
            "append to",
            "sql",
            "not run",
            "run by",
            "before",
            "postgresql",
            "terminal",
        }
        if unknown:
            raise ValueError(f"{block.place}: no comment above a block is called {sorted(unknown)}")
        if "not run" in markers and markers["not run"].partition(":")[0] not in NOT_RUN:
            raise ValueError(f"{block.place}: 'not run' needs one of {sorted(NOT_RUN)}, a colon and the reason")
        return block


def _split(above: str) -> tuple[str, str]:
    """The text above a fence, and the comments between that text and the fence."""
    comments = re.search(r"((?:\s*<!--(?:(?!-->).)*-->)*)\s*\Z", above, re.DOTALL)
    assert comments is not None
    return above[: comments.start()], comments.group()
