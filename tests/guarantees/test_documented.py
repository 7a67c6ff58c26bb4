"""The page of guarantees names the tests of each guarantee, and every named test exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [line for line in (ROOT / "docs" / "guarantees.md").read_text().splitlines() if re.match(r"\| G\d+ \|", line)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_every_guarantee_names_tests_that_exist(row: str) -> None:
    """`folder/test_file.py::test_name`; `::test_name` alone is in the file named before."""
    tests = row.rsplit("|", 2)[1]
    path = ""
    for named, name in re.findall(r"`([\w/]*(?:\.py)?)::(\w+)`", tests):
        path = named or path
        functions = ast.walk(ast.parse((ROOT / "tests" / path).read_text()))
        assert name in {node.name for node in functions if isinstance(node, ast.FunctionDef)}, f"{path}::{name}"

    assert path
    assert not re.search(r"test_\w+\.py`", tests), "name the test, not only its file"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_the_files_of_every_mechanism_exist(row: str) -> None:
    """Paths are relative to `infrastructure/`, unless they begin with `domain/`."""
    mechanism = row.split("|")[3]

    for path in re.findall(r"`([\w/]+(?:/|\.py|\.sql))`", mechanism):
        folder = ROOT if path.startswith("domain/") else ROOT / "infrastructure"
        assert (folder / path).exists(), path


def test_no_guarantee_is_left_out() -> None:
    """G1 to G22, in order."""
    assert [row.split("|")[1].strip() for row in ROWS] == [f"G{number}" for number in range(1, 23)]
