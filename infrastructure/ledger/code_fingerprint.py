"""A fingerprint of code, which changes when what the code does may have changed.

It covers a function's bytecode, names and constants, its defaults and its closure; and in the same way what it names of
its own package: functions, classes with their methods, modules' attributes, and constants such as numbers and tables of
them. What it does elsewhere is not covered. Another version of Python makes another fingerprint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import partial
from hashlib import sha256
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final
from uuid import UUID
from weakref import WeakKeyDictionary

from ...domain.saga.equality import fields_of

CONSTANTS: Final = (int, float, complex, str, bytes, Decimal, Fraction, date, time, timedelta, UUID, type(None))
"""The types whose `repr` is the same in every process."""
ITEMS_MAX: Final = 10_000
"""A larger table counts by its length."""


def code_fingerprint(*parts: Any) -> str:
    """Return the fingerprint of functions, of classes' methods and of constants: 16 hexadecimal digits."""
    digest = sha256()
    reader = _CodeReader()
    for part in parts:
        for text in reader.parts_of(part):
            digest.update(text.encode(errors="surrogatepass") + b"\0")
    return digest.hexdigest()[:16]


class _CodeReader:
    """Yields what a fingerprint covers, as texts; each function and each class once."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}
        """By identity; they are kept, so that no other takes the same."""

    def parts_of(self, value: Any) -> Iterator[str]:
        if isinstance(value, Enum):
            yield f"{type(value).__qualname__}.{value.name}"
        elif isinstance(value, CONSTANTS):
            yield repr(value)
        elif id(value) in self._seen:
            yield "seen"
        else:
            self._seen[id(value)] = value
            yield from self._parts_of_new(value)

    def _parts_of_new(self, value: Any) -> Iterator[str]:
        match value:
            case partial():
                yield "partial"
                yield from self._parts_of_all((value.func, value.args, value.keywords))
            case MethodType():
                yield from self._parts_of_all((value.__func__, value.__self__, type(value.__self__)))
            case FunctionType():
                yield from self._parts_of_function(value)
            case staticmethod() | classmethod():
                yield from self.parts_of(value.__func__)
            case property():
                yield from self._parts_of_all((value.fget,))
            case type():
                yield value.__qualname__
                for base in value.__mro__:
                    if _package_of(base) == _package_of(value):
                        yield from self._parts_of_class(base)
            case WeakKeyDictionary():  # a cache
                yield "cache"
            case Mapping():
                items = [[*self.parts_of(key), *self.parts_of(part)] for key, part in list(value.items())[:ITEMS_MAX]]
                yield repr((len(value), sorted(items)))
            case set() | frozenset():
                yield repr((len(value), sorted([*self.parts_of(part)] for part in list(value)[:ITEMS_MAX])))
            case list() | tuple():
                yield repr(len(value))
                yield from self._parts_of_all(value[:ITEMS_MAX])
            case _:
                yield type(value).__qualname__
                yield from self._parts_of_object(value)

    def _parts_of_object(self, value: Any) -> Iterator[str]:
        wrapped = getattr(value, "__wrapped__", None)  # such as a function with a cache
        if wrapped is not None:
            yield from self.parts_of(wrapped)
        if isinstance(getattr(type(value), "__call__", None), FunctionType):  # noqa: B004 -- one written in Python
            yield from self.parts_of(type(value))
        fields = fields_of(value)
        if fields is not None:
            yield from self.parts_of(fields)

    def _parts_of_class(self, class_: type) -> Iterator[str]:
        for name, part in sorted(vars(class_).items()):
            if isinstance(part, (FunctionType, staticmethod, classmethod, property)):
                yield name
                yield from self.parts_of(part)

    def _parts_of_function(self, function: FunctionType) -> Iterator[str]:
        yield from self._parts_of_code(function.__code__)
        yield from self._parts_of_all((function.__defaults__, function.__kwdefaults__))
        for cell in function.__closure__ or ():
            yield from self.parts_of(cell.cell_contents)
        names = set(_names(function.__code__))
        package = _package_of(function)
        for name in sorted(names & function.__globals__.keys()):
            named = function.__globals__[name]
            if isinstance(named, ModuleType):
                if named.__name__.partition(".")[0] == package:
                    yield from self._parts_of_all(vars(named)[each] for each in sorted(names & vars(named).keys()))
            elif not isinstance(named, (FunctionType, type)) or _package_of(named) == package:
                yield from self.parts_of(named)

    def _parts_of_code(self, code: CodeType) -> Iterator[str]:
        yield code.co_code.hex()
        yield from code.co_names
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from self._parts_of_code(constant)
            else:
                yield from self.parts_of(constant)

    def _parts_of_all(self, values: Any) -> Iterator[str]:
        for value in values:
            yield from self.parts_of(value)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _package_of(part: Callable[..., Any]) -> str:
    return str(getattr(part, "__module__", "")).partition(".")[0]
