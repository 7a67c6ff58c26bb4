"""Load the app that `--app` names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from ...domain.errors import DefinitionError
from ..ledger.app import App

SHOP = "shop"
"""The short name of the online shop's app, the reference application of the package."""


class AppNotLoaded(DefinitionError):
    """The app that was named cannot be used; the message says what is missing, and in which module."""


def load_app(name: str | None) -> App:
    """Return the app at `module:object` or at `file.py:object`, the shop's for `shop`, and an empty one for None.

    A module may stand in the current folder, and a file imports from its own. Raises `AppNotLoaded`.
    """
    if name is None:
        return App()
    if name == SHOP:
        from ..shop.app import APP

        return APP
    module_name, separator, attribute = name.rpartition(":")
    if not (module_name and separator and attribute.isidentifier()):
        raise AppNotLoaded(
            f"--app {name!r} is not of the form module:object, such as trips.sagas:APP or trips.py:APP, and it is not "
            f"{SHOP}, the online shop"
        )
    file = Path(_current_folder(), module_name) if module_name.endswith(".py") else None
    if file is not None and not file.is_file():
        raise AppNotLoaded(f"--app {name!r}: there is no file {file}")
    found = _attribute(name, module_name, file, attribute)
    if not isinstance(found, App):
        raise AppNotLoaded(
            f"--app {name!r}: {attribute} is {type(found).__name__}, not an App: "
            f"write {attribute} = App(sagas=[…]) in {module_name}"
        )
    return found


def _module(module_name: str, file: Path | None) -> ModuleType:
    """Import a module by its name, or from its file: also one that has the name of a module of Python."""
    folder = _current_folder() if file is None else str(file.parent)
    if file is None or not _is_taken(file):
        if folder not in sys.path:
            sys.path.insert(0, folder)
        return importlib.import_module(module_name if file is None else file.stem)
    if folder not in sys.path:
        sys.path.append(folder)  # behind Python's own, which others import by that name
    own_name = f"sagaledger_app_{file.stem}"
    if own_name in sys.modules:
        return sys.modules[own_name]
    spec = importlib.util.spec_from_file_location(own_name, file)
    assert spec is not None  # noqa: S101 -- its name ends with .py
    assert spec.loader is not None  # noqa: S101 -- as above
    module = sys.modules[own_name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[own_name]
        raise
    return module


def _current_folder() -> str:
    """Return the current folder; `.` if it was removed, in which nothing is found then."""
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return "."


def _is_taken(file: Path) -> bool:
    """Whether importing the file's name would find another module, or is no name of a module."""
    if not file.stem.isidentifier() or file.stem in sys.stdlib_module_names:
        return True
    known = sys.modules.get(file.stem)
    origin = getattr(known, "__file__", None)
    if known is not None:
        return origin is None or not file.samefile(origin)
    return False


def _attribute(name: str, module_name: str, file: Path | None, attribute: str) -> object:
    try:
        module = _module(module_name, file)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise AppNotLoaded(
                f"--app {name!r}: there is no module {error.name!r} in the current folder or among the "
                "installed packages"
            ) from error
        raise AppNotLoaded(f"--app {name!r}: {module_name} imports {error.name!r}, which is not installed") from error
    except (Exception, SystemExit) as error:
        raise AppNotLoaded(
            f"--app {name!r}: importing {module_name} failed: {type(error).__name__}: {error}"
        ) from error
    try:
        found: object = getattr(module, attribute)
    except AttributeError as error:
        raise AppNotLoaded(f"--app {name!r}: module {module_name} has no {attribute!r}") from error
    return found
