"""The functions of a definition: any callable, also a `functools.partial` or an object with a `__call__`.

What cannot work as declared is refused when it is declared, with an error that says what to change.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, ClassVar, Final, Never, NoReturn, get_args, get_origin, get_type_hints

from ..errors import DefinitionError


def must_take(function: Callable[..., Any], count: int, what: str, where: str) -> None:
    """Raise `DefinitionError` unless a function can be called with so many arguments."""
    if not callable(function):
        raise DefinitionError(f"{where} must be a function of {what}, and is {_shown(function)}")
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        raise DefinitionError(f"{where} must take {count} arguments ({what}): {_shown(function)} does not") from None
    except ValueError as error:
        raise DefinitionError(
            f"{where} has no signature that can be checked: wrap it in a function ({error})"
        ) from error


def must_be_plain(function: Callable[..., Any], where: str, what: str = "it only returns commands") -> None:
    """Raise `DefinitionError` if a function that only returns something is async."""
    if is_async(function) or inspect.isasyncgenfunction(underlying(function)):
        raise DefinitionError(f"{where} is async: {what}, make it plain")


def must_return(function: Callable[..., Any], where: str) -> None:
    """Raise `DefinitionError` if a function yields instead of returning: its result could not be stored."""
    inner = underlying(function)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise DefinitionError(f"{where} yields, and so would run only while something iterates over it: return a value")


def name_of(function: Callable[..., Any], where: str) -> str:
    """Returns a function's name, for a step without one. Raises `DefinitionError` for an object that has none."""
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        raise DefinitionError(f"{where} {_shown(function)} has no name of its own: give it one with `name=`")
    return name


def is_async(function: Callable[..., Any] | None) -> bool:
    """Whether calling a function makes a coroutine."""
    return function is not None and inspect.iscoroutinefunction(underlying(function))


def underlying(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function with the code that runs: of a partial, the inner one; of an object, its `__call__`."""
    while isinstance(function, partial):
        function = function.func
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    called: Callable[..., Any] = type(function).__call__
    return called


def declared_result(function: Callable[..., Any], where: str) -> Any:
    """Returns the type that a function is annotated to return; Any if the annotation says nothing about a value.

    Of an annotation as an awaitable, that is the type of what it becomes. Raises `DefinitionError` for an annotation
    that cannot be read.
    """
    inner = underlying(function)
    if inspect.isclass(inner):
        return Any
    try:
        declared = get_type_hints(inner, include_extras=True).get("return", Any)
    except NameError:  # the annotation names what its module does not define
        return Any
    except Exception as error:
        raise DefinitionError(f"{where} has an annotation that cannot be read: {error}") from error
    if declared in (Final, ClassVar) or get_origin(declared) in (Final, ClassVar):
        raise DefinitionError(f"{where} is annotated as {declared}, which is for variables: annotate a type")
    while get_origin(declared) in (Awaitable, Coroutine):
        declared = (get_args(declared) or (Any,))[-1]
    return Any if declared in _NO_VALUE else declared


def declared_parameter(function: Callable[..., Any], where: str) -> Any:
    """Returns the type that a function's first parameter is annotated with; Any without an annotation.

    Raises `DefinitionError` for an annotation that cannot be read.
    """
    inner = underlying(function)
    try:
        parameters = list(inspect.signature(function).parameters.values())
        hints = get_type_hints(inner, include_extras=True)
    except NameError:  # the annotation names what its module does not define
        return Any
    except Exception as error:
        raise DefinitionError(f"{where} has an annotation that cannot be read: {error}") from error
    declared = hints.get(parameters[0].name, Any) if parameters else Any
    return Any if declared is object else declared


_NO_VALUE: tuple[Any, ...] = (Any, None, type(None), object, NoReturn, Never, Awaitable, Coroutine)


def _shown(function: object) -> str:
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else f"an object of type {type(function).__qualname__}"
