"""Patterns of `like`, which mean the same on both databases: `%` is any text, `_` any one character, `\\` takes the
next character as it is, and upper and lower case differ.

SQLite's LIKE ignores the case of ASCII letters. Its GLOB does not, so a pattern is written as one for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import Boolean, ColumnElement, Text, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from ...domain.errors import InvalidInput
from ...projections.column_values import storable_text

PATTERN_CHARACTERS_MAX: Final = 1_000
"""SQLite refuses patterns of more than 50,000 bytes."""

_ESCAPE: Final = "\\"
_WILDCARDS: Final = {"%": "*", "_": "?"}
_SPECIAL_IN_GLOB: Final = "*?["


class LikePattern(NamedTuple):
    """A pattern as each database writes it."""

    like: str
    glob: str

    @classmethod
    def read(cls, pattern: str, what: str) -> LikePattern:
        """Read a pattern; `what` names it. Raises `InvalidInput` for one that is too long or ends within an escape."""
        if len(pattern) > PATTERN_CHARACTERS_MAX:
            raise InvalidInput(
                f"{what} has {len(pattern):,} characters, of {PATTERN_CHARACTERS_MAX:,} that a pattern may have"
            )
        like, glob = "", ""
        for character, is_wildcard in _characters(storable_text(pattern), what):
            if is_wildcard:
                like, glob = like + character, glob + _WILDCARDS[character]
            else:
                like += _ESCAPE + character if character in (_ESCAPE, *_WILDCARDS) else character
                glob += f"[{character}]" if character in _SPECIAL_IN_GLOB else character
        return cls(like, glob)

    def matches(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """Return the SQL that a column's text has this form."""
        return has_form(column, literal(self.like, Text), literal(self.glob, Text))


class has_form(FunctionElement[bool]):  # noqa: N801  # written like the SQL function that it stands for
    """Whether a text matches a pattern, given as one of LIKE and as one of GLOB."""

    type = Boolean()
    inherit_cache = True


@compiles(has_form, "postgresql")
def _like(element: has_form, compiler: Any, **options: Any) -> str:
    column, like, _ = element.clauses
    return f"({compiler.process(column, **options)} LIKE {compiler.process(like, **options)} ESCAPE '\\')"


@compiles(has_form, "sqlite")
def _glob(element: has_form, compiler: Any, **options: Any) -> str:
    column, _, glob = element.clauses
    return f"({compiler.process(column, **options)} GLOB {compiler.process(glob, **options)})"


def begins_with(text: str) -> str:
    """Return the pattern of the texts that begin with this one."""
    return "".join(_ESCAPE + each if each in (_ESCAPE, *_WILDCARDS) else each for each in text) + "%"


def _characters(pattern: str, what: str) -> Iterator[tuple[str, bool]]:
    """Yield each character, and whether it stands for others."""
    rest = iter(pattern)
    for character in rest:
        if character != _ESCAPE:
            yield character, character in _WILDCARDS
            continue
        literal_character = next(rest, None)
        if literal_character is None:
            raise InvalidInput(
                f"{what} ends with a single {_ESCAPE}, which takes the next character as it is: write two for one"
            )
        yield literal_character, False
