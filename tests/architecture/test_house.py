"""The house stays as it was built: rooms on floors, one word for one thing, files that one reads in one go."""

from __future__ import annotations

import ast
import re
from collections import defaultdict

import pytest

from .house import PACKAGES, Module, arrows, circle, floors, imports, modules

LINES_MAX = 300
PUBLIC_METHODS_MAX = 14
WIDE_BY_DESIGN = {
    "Ledger",  # the facade
    "EventLog",  # the ports, and what implements them
    "WorkQueue",
    "Backend",
    "SqliteStore",
    "PostgresStore",
    "SqliteWorkQueue",
    "PostgresWorkQueue",
}
METAPHORS = {
    "attendant", "bell", "chronicle", "committer", "desk", "ear", "holdings", "intake", "letter", "letters", "place",
    "rest", "rivals", "shadow", "soundness", "standing", "story", "sweeper", "telling", "translator", "utils",
    "helpers", "manager", "base", "common", "misc",
}  # fmt: skip
"""Names of modules that a stranger could not guess, or that say nothing."""


def test_no_two_public_types_share_a_name() -> None:
    """A class or a type alias is the only one of its name: a reader who searches for it finds one thing."""
    homes: dict[str, set[str]] = defaultdict(set)
    for module in modules().values():
        for name in _public_types(module):
            homes[name].add(module.name)

    assert {name: sorted(places) for name, places in homes.items() if len(places) > 1} == {}


def test_no_module_is_named_for_a_metaphor() -> None:
    """A module is a noun of the field."""
    words = {name: set(name.rpartition(".")[2].replace("dead_letter", "").split("_")) & METAPHORS for name in modules()}

    assert {name: found for name, found in words.items() if found} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_modules_of_a_package_import_in_no_circle(package: str) -> None:
    """Also where an import stands inside a function, or is there for the type checker alone."""
    graph = {
        name: frozenset(target for target in imports(module) if target != name)
        for name, module in modules().items()
        if name.partition(".")[0] == package
    }

    assert circle(graph) == []


def test_the_rooms_import_in_no_circle() -> None:
    """A folder that imports another is never imported by it, directly or not."""
    assert circle(arrows()) == []


def test_the_house_is_low() -> None:
    """The rooms of `infrastructure/`, its files at the root included, and how they stand above one another."""
    inside = {room: below for room, below in arrows().items() if room.startswith("infrastructure.")}
    graph = {room: frozenset(b for b in below if b in inside) for room, below in inside.items()}

    assert len(graph) <= 14
    assert max(floors(graph).values()) <= 7


@pytest.mark.parametrize("module", modules().values(), ids=lambda module: module.name)
def test_a_module_is_read_in_one_go(module: Module) -> None:
    """No file is longer than 300 lines, and no class but the facade and the ports has very many public methods."""
    assert module.lines <= LINES_MAX
    classes = [node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    for each in classes:
        assert each.name in WIDE_BY_DESIGN or len(_public_methods(each)) <= PUBLIC_METHODS_MAX, each.name


def _public_methods(class_: ast.ClassDef) -> set[str]:
    """Returns the names of a class's public methods; one that is overloaded has one name."""
    functions = [node for node in class_.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {function.name for function in functions if not function.name.startswith("_")}


def _public_types(module: Module) -> list[str]:
    found: list[str] = []
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
            found.append(ast.unparse(node.target))
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp):
            found += [name for name in map(ast.unparse, node.targets) if re.fullmatch(r"[A-Z]\w*[a-z]\w*", name)]
    return [name for name in found if not name.startswith("_")]
