"""The modules of the domain import each other in one direction."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import sagaledger.domain

ROOT = Path(sagaledger.domain.__file__).parent
FOLDERS = ("", "saga", "schedule", "choreography", "shop")
"""From the bottom up; "" holds the modules beside the folders."""

Module = tuple[str, ...]
"""A path below `domain/`, without the suffix; a folder stands for its `__init__`."""


def _modules() -> dict[Module, Path]:
    """Every module of the domain."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[parts[:-1] if parts[-1] == "__init__" else parts] = path
    return found


def _imports(module: Module, path: Path, modules: dict[Module, Path]) -> set[Module]:
    """The modules that a module imports, wherever in the file; those under `TYPE_CHECKING` count."""
    package = module if path.name == "__init__.py" else module[:-1]
    imported: set[Module] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level == 0:
            assert not (node.module or "").startswith("sagaledger"), f"{path} imports sagaledger by its absolute name"
            continue
        base = package[: len(package) - (node.level - 1)]
        target = (*base, *(node.module.split(".") if node.module else ()))
        for alias in node.names:
            imported.add((*target, alias.name) if (*target, alias.name) in modules else target)
    return imported


def _graph() -> dict[Module, set[Module]]:
    modules = _modules()
    return {module: _imports(module, path, modules) - {module} for module, path in modules.items()}


def test_the_graph_has_the_imports_that_it_should() -> None:
    """A reader of imports that finds none would let every circle pass."""
    graph = _graph()

    assert ("saga", "step_kind") in graph["saga", "step"]
    assert ("participant",) in graph["shop", "order"]
    assert ("shop", "services") not in graph["shop", "order"]
    assert set().union(*graph.values()) <= graph.keys()


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Each module can be read after those that it imports."""
    TopologicalSorter(_graph()).prepare()


def test_folders_import_downwards_only() -> None:
    """The shop may know choreographies and sagas; a choreography knows sagas; a saga knows neither."""
    graph = _graph()
    folder = {module: FOLDERS.index(module[0] if module and module[0] in FOLDERS else "") for module in graph}

    upwards = [
        (module, imported)
        for module, imports in graph.items()
        for imported in imports
        if folder[imported] > folder[module]
    ]

    assert upwards == []
