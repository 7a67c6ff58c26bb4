"""Load the app that `--app module:object` names."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from ...domain.errors import DefinitionError
from ..ledger.app import App


class AppNotLoaded(DefinitionError):
    """The app that was named cannot be used; the message says what is missing where."""


def load_app(name: str | None) -> App:
    """The app at `module:object`, with the current directory importable, or at `file.py:object`, with the file's.

    The online shop if none is named.

    Raises `AppNotLoaded`.
    """
    if name is None:
        from ..shop.app import APP

        return APP
    module_name, separator, attribute = name.rpartition(":")
    if not (module_name and separator and attribute.isidentifier()):
        raise AppNotLoaded(f"--app {name!r} is not of the form module:object, such as shop.sagas:APP or shop.py:APP")
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
    except Exception as error:
        raise AppNotLoaded(
            f"--app {name!r}: importing {module_name} failed: {type(error).__name__}: {error}"
        ) from error
    try:
        found: object = getattr(module, attribute)
    except AttributeError as error:
        raise AppNotLoaded(f"--app {name!r}: module {module_name} has no {attribute!r}") from error
    return found
