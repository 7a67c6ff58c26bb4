"""Load the app that `--app` names."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

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
    folder = Path.cwd()
    if module_name.endswith(".py"):
        file = folder / module_name
        if not file.is_file():
            raise AppNotLoaded(f"--app {name!r}: there is no file {file}")
        folder, module_name = file.parent, file.stem
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    found = _attribute(name, module_name, attribute)
    if not isinstance(found, App):
        raise AppNotLoaded(
            f"--app {name!r}: {attribute} is {type(found).__name__}, not an App: "
            f"write {attribute} = App(sagas=[…]) in {module_name}"
        )
    return found


def _attribute(name: str, module_name: str, attribute: str) -> object:
    try:
        module = importlib.import_module(module_name)
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
