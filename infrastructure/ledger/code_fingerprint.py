"""A fingerprint of a function's code, which changes when what the function does may have changed.

It covers the function's bytecode, names and constants, its defaults, and the functions of its own module that it names,
in the same way. What it does elsewhere (methods, other modules) is not covered. Another version of Python makes another
fingerprint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from types import CodeType, FunctionType, MethodType
from typing import Any

CONSTANTS = (int, float, complex, str, bytes)
"""The types whose `repr` is the same in every process."""


def code_fingerprint(function: Callable[..., Any]) -> str:
    """Return the fingerprint of a function: 16 hexadecimal digits."""
    digest = sha256()
    for part in _parts_of(function, set()):
        digest.update(part.encode(errors="surrogatepass") + b"\0")
    return digest.hexdigest()[:16]


def _parts_of(value: object, seen: set[int]) -> Iterator[str]:
    match value:
        case partial():
            yield from _parts_of(value.func, seen)
            yield f"partial of {len(value.args)}"
            for argument in (*value.args, *(part for item in sorted(value.keywords.items()) for part in item)):
                yield from _parts_of(argument, seen)
        case MethodType():
            yield from _parts_of(value.__func__, seen)
        case FunctionType():
            if id(value) not in seen:
                seen.add(id(value))
                yield from _parts_of_function(value, seen)
        case type():
            yield value.__qualname__
        case _ if callable(value):
            yield from _parts_of(type(value).__call__, seen)
        case _:
            yield _constant(value)


def _parts_of_function(function: FunctionType, seen: set[int]) -> Iterator[str]:
    yield from _parts_of_code(function.__code__)
    yield from map(_constant, function.__defaults__ or ())
    for cell in function.__closure__ or ():
        yield from _parts_of(cell.cell_contents, seen)
    for name in _names(function.__code__):
        named = function.__globals__.get(name)
        if isinstance(named, FunctionType) and named.__module__ == function.__module__:
            yield from _parts_of(named, seen)
        elif isinstance(named, CONSTANTS):
            yield _constant(named)


def _parts_of_code(code: CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts_of_code(constant)
        else:
            yield _constant(constant)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _constant(value: object) -> str:
    """Return a constant as text that is the same in every process: the order of a set is not."""
    if isinstance(value, frozenset):
        return repr(sorted(map(repr, value)))
    if isinstance(value, tuple):
        return repr([_constant(each) for each in value])
    return repr(value) if isinstance(value, CONSTANTS) else type(value).__qualname__
