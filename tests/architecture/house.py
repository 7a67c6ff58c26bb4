"""The package as its source says: modules, what each imports, and the rooms (folders) that they stand in."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "projections", "infrastructure")


class Module(NamedTuple):
    """One file of the package."""

    name: str
    """Dotted, from the package's root: `infrastructure.ledger.context`."""
    path: Path
    tree: ast.Module
    lines: int

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.name.split("."))

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"


@cache
def modules() -> Mapping[str, Module]:
    """Every module of the package, by name."""
    found: dict[str, Module] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            text = path.read_text(encoding="utf-8")
            found[name] = Module(name, path, ast.parse(text), text.count("\n"))
    return found


def imports(module: Module) -> Iterator[str]:
    """The modules of the package that a module imports, wherever the import stands in it."""
    known = modules()
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        home = module.parts if module.is_package else module.parts[:-1]
        base = home[: len(home) - node.level + 1]
        target = ".".join((*base, *(node.module or "").split("."))).rstrip(".")
        for alias in node.names:
            inner = f"{target}.{alias.name}"
            yield inner if inner in known else target


def room_of(name: str) -> str:
    """The room of a module: its folder inside `infrastructure/`, `domain/` or `projections/`, or the file itself."""
    return ".".join(name.split(".")[:2])


@cache
def arrows() -> Mapping[str, frozenset[str]]:
    """Which rooms each room imports."""
    found: dict[str, set[str]] = {}
    for module in modules().values():
        mine = found.setdefault(room_of(module.name), set())
        mine.update(room_of(target) for target in imports(module))
    return {room: frozenset(others - {room}) for room, others in found.items()}


def circle(graph: Mapping[str, frozenset[str]]) -> list[str]:
    """A circle of a graph, as the nodes on it; empty if it has none."""
    done: set[str] = set()

    def look(node: str, path: list[str]) -> list[str]:
        if node in path:
            return path[path.index(node) :]
        if node in done:
            return []
        for following in sorted(graph.get(node, ())):
            found = look(following, [*path, node])
            if found:
                return found
        done.add(node)
        return []

    for start in sorted(graph):
        found = look(start, [])
        if found:
            return found
    return []


def floors(graph: Mapping[str, frozenset[str]]) -> Mapping[str, int]:
    """On which floor each node stands: one above the highest node that it imports. The graph has no circle."""
    known: dict[str, int] = {}

    def floor(node: str) -> int:
        if node not in known:
            known[node] = 1 + max((floor(below) for below in graph.get(node, ())), default=0)
        return known[node]

    for node in graph:
        floor(node)
    return known
