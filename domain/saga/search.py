"""Search attributes: functions of a saga's input, by whose values sagas are found.

A definition only names the functions. They run when the view `saga_attributes` is folded, and no decision depends on
them: neither the fingerprint of a definition nor its events change with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from ..errors import DefinitionError
from .functions import is_async, must_return, must_take

SearchFunctions: TypeAlias = Mapping[str, Callable[[Any], Any]]
"""For each attribute, the function that takes a saga's input and returns the attribute's value or values."""

ATTRIBUTES_MAX: Final = 50
"""The most attributes of one saga."""
NAME_CHARACTERS_MAX: Final = 50

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_search(search: SearchFunctions | None, saga_name: str) -> SearchFunctions:
    """Returns the search functions of a saga. Raises `DefinitionError`, which says what to change."""
    where = f"saga {saga_name!r}: search"
    if search is None:
        return {}
    if not isinstance(search, Mapping):
        raise DefinitionError(f"{where} must be a dict of functions by name, and is a {type(search).__name__}")
    if len(search) > ATTRIBUTES_MAX:
        raise DefinitionError(f"{where} has {len(search)} attributes: declare at most {ATTRIBUTES_MAX}")
    names: Iterable[tuple[Any, Any]] = search.items()
    for name, function in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > NAME_CHARACTERS_MAX:
            raise DefinitionError(
                f"{where} has an attribute named {name!r}: use letters of ASCII, digits and underscores, a letter or "
                f"an underscore first, at most {NAME_CHARACTERS_MAX} of them"
            )
        attribute = f"{where}: attribute {name!r}"
        must_take(function, 1, "input", attribute)
        must_return(function, attribute)
        if is_async(function):
            raise DefinitionError(f"{attribute} is async: it only reads the input, make it plain")
    return dict(search)
