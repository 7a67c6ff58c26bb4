"""Checks of what a step is declared with, beyond the functions that it calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from ..errors import DefinitionError
from .functions import must_be_plain, must_take
from .retry_policy import OnUnknown
from .step_context import StepContext
from .step_kind import ForEach

I = TypeVar("I")  # noqa: E741 -- the saga's input, as the documentation calls it

Condition: TypeAlias = Callable[[I, StepContext], bool]
"""Whether a step is to be made: a plain function of the input and the context."""


def check_condition(when: Any, where: str, *, pivot: bool) -> None:
    """Raise `DefinitionError` for a condition that could not be asked, or whose answer could not be followed."""
    if when is None:
        return
    if pivot:
        raise DefinitionError(f"{where} is the pivot and has a condition: decide in a step before it, or remove `when`")
    must_take(when, 2, "input, context", f"{where}: when")
    must_be_plain(when, f"{where}: when", "it only returns True or False")


def for_each_kind(items: Any, parallel: Any, on_failure: Any, where: str) -> ForEach:
    """Returns the kind of a step over a list. Raises `DefinitionError` for what cannot work."""
    must_take(items, 2, "input, context", f"{where}: items")
    must_be_plain(items, f"{where}: items", "it only returns a list")
    if type(parallel) is not int or parallel < 1:
        raise DefinitionError(f"{where} has parallel={parallel!r}: use a whole number, 1 or more")
    if on_failure not in ("compensate", "collect"):
        raise DefinitionError(f"{where} has on_failure={on_failure!r}: use 'compensate' or 'collect'")
    return ForEach(items, parallel, on_failure == "collect")


def on_unknown_of(on_unknown: OnUnknown | str, where: str) -> OnUnknown:
    """Returns what follows an unknown outcome. Raises `DefinitionError` for a word that means nothing."""
    try:
        return OnUnknown(on_unknown)
    except ValueError:
        options = " or ".join(repr(str(each)) for each in OnUnknown)
        raise DefinitionError(f"{where} has on_unknown={on_unknown!r}: use {options}") from None
