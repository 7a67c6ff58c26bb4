"""Conditions on the columns of a view, as a program or a person writes them.

    {"status": "completed", "country": ["France", "Spain"]}
    [("total_minor", ">", 100), "status in completed,cancelled", "customer_id is null"]

Nothing here knows a database: `condition_sql` makes SQL of conditions, in which names are those of the table's own
columns, and every value is a parameter.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from ...domain.errors import InvalidInput

EQUAL, UNEQUAL, BELOW, AT_MOST, ABOVE, AT_LEAST = "=", "!=", "<", "<=", ">", ">="
IN, NOT_IN, LIKE, NOT_LIKE, IS_NULL, IS_NOT_NULL = "in", "not in", "like", "not like", "is null", "is not null"

COMPARISONS: Final = frozenset({BELOW, AT_MOST, ABOVE, AT_LEAST})
LISTS: Final = frozenset({IN, NOT_IN})
PATTERNS: Final = frozenset({LIKE, NOT_LIKE})
NULL_TESTS: Final = frozenset({IS_NULL, IS_NOT_NULL})
NEGATIONS: Final = {UNEQUAL: EQUAL, NOT_IN: IN, NOT_LIKE: LIKE, IS_NOT_NULL: IS_NULL}
"""Each operator that holds exactly where another one does not."""
OPERATORS: Final = (
    EQUAL,
    UNEQUAL,
    BELOW,
    AT_MOST,
    ABOVE,
    AT_LEAST,
    IN,
    NOT_IN,
    LIKE,
    NOT_LIKE,
    IS_NULL,
    IS_NOT_NULL,
)

CONDITIONS_MAX: Final = 100
LISTED_VALUES_MAX: Final = 1_000
"""The most values of `in`; databases bound the parameters of a statement."""

HOW_TO_WRITE: Final = (
    "write it as total>100, status!=completed, 'status in a,b', 'country like F%', 'customer_id is null', or with one "
    "of = != < <= > >=, in, not in, like, not like, is null, is not null"
)

_WITH_SYMBOL: Final = re.compile(r"([^=<>!]*[^=<>!\s])(\s*)(!=|<=|>=|<>|=|<|>)(.*)", re.DOTALL)
_WITH_WORD: Final = re.compile(
    r"\s*(\w+)\s+(?:(not\s+in|in|not\s+like|like)\s+(.*)|(is\s+not\s+null|is\s+null)\s*)", re.DOTALL | re.IGNORECASE
)


class RowCondition(NamedTuple):
    """What must hold of one column; a row fulfils a negated operator exactly if it does not fulfil the plain one."""

    column: str
    operator: str
    value: Any = None
    """None for no value: equal to it are the columns that have none."""


Where: TypeAlias = Mapping[str, Any] | Iterable[str | tuple[Any, ...]]
"""Conditions that must all hold: the values that columns must have, by name, each a value, None for no value, or a list
for any of its values; or a list of conditions, each a text, or a tuple of column, operator and value."""


def conditions_of(where: Where | None) -> list[RowCondition]:
    """Return conditions as such, in the order given. Raises `InvalidInput` for what is none."""
    if where is None:
        return []
    if isinstance(where, str):
        found = [read_condition(where)]
    elif isinstance(where, Mapping):
        found = [_equal(name, value) for name, value in where.items()]
    else:
        found = [read_condition(each) if isinstance(each, str) else _checked(each) for each in where]
    if len(found) > CONDITIONS_MAX:
        raise InvalidInput(f"a query takes at most {CONDITIONS_MAX} conditions, and {len(found):,} were given")
    return found


def read_condition(text: str) -> RowCondition:
    """Read a condition from a text such as `total>100`.

    After a symbol, the value is everything that follows, with its spaces unless one stands before the symbol. Nothing
    after `=` or `!=` means no value. The values of `in` are separated by commas, and may stand in double quotes.
    Raises `InvalidInput` for a text that is no condition.
    """
    if (worded := _WITH_WORD.fullmatch(text)) is not None:
        column, operator, value, null_test = worded.groups()
        operator = " ".join((operator or null_test).lower().split())
        if operator in LISTS:
            return RowCondition(column, operator, _values(column, operator, _listed(text, value)))
        if operator in PATTERNS and not value:
            raise InvalidInput(f"condition {text!r} has no pattern: {HOW_TO_WRITE}")
        return RowCondition(column, operator, value)
    found = _WITH_SYMBOL.fullmatch(text)
    if found is None:
        raise InvalidInput(f"{text!r} is not of the form COLUMN=VALUE, and no other condition: {HOW_TO_WRITE}")
    column, space, operator, value = found.groups()
    operator = UNEQUAL if operator == "<>" else operator
    value = value.strip() if space else value
    if not value and operator in COMPARISONS:
        raise InvalidInput(f"condition {text!r} has nothing after {operator}: {HOW_TO_WRITE}")
    return RowCondition(column.strip(), operator, value or None)


def _listed(text: str, listed: str) -> list[str]:
    try:
        rows = list(csv.reader([listed], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise InvalidInput(
            f"the values of condition {text!r} cannot be told apart ({error}): separate them by commas, and put one "
            'with a comma or a quote into double quotes, in which "" is a quote'
        ) from error
    values = [value.strip() for row in rows for value in row]
    if not all(values) or not values:
        raise InvalidInput(f"condition {text!r} has an empty value: leave it out, or ask for `is null`")
    return values


def _equal(name: str, value: Any) -> RowCondition:
    if isinstance(value, list | tuple | set | frozenset):
        return _checked((name, IN, value))
    return RowCondition(name, EQUAL, value)


def _checked(given: Any) -> RowCondition:
    if not isinstance(given, tuple | list) or not 2 <= len(given) <= 3 or not isinstance(given[0], str):
        raise InvalidInput(
            f"{given!r} is no condition: give a tuple such as ('total', '>', 100) or ('customer_id', 'is null'), or a "
            "text such as 'total>100'"
        )
    column, operator = given[0], given[1]
    operator = " ".join(operator.lower().split()) if isinstance(operator, str) else operator
    if operator not in OPERATORS:
        raise InvalidInput(f"{operator!r} is no operator of a condition: there are {', '.join(OPERATORS)}")
    if isinstance(given, RowCondition) and given.value is None:  # its third part is there for every operator
        given = given[:2] if operator in NULL_TESTS else given
    if (len(given) == 3) == (operator in NULL_TESTS):
        raise InvalidInput(
            f"the condition {given!r} has {len(given)} parts: {operator} takes a column and "
            f"{'no value' if operator in NULL_TESTS else 'a value'}"
        )
    value = given[2] if len(given) == 3 else None
    if operator in LISTS:
        value = _values(column, operator, value)
    elif isinstance(value, list | tuple | set | frozenset):
        raise InvalidInput(f"{operator} compares column {column!r} with one value: use in or not in for several")
    if value is None and operator in COMPARISONS | PATTERNS:
        raise InvalidInput(f"{operator} compares column {column!r} with a value, and None is none: use is null")
    return RowCondition(column, operator, value)


def _values(column: str, operator: str, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple | set | frozenset):
        raise InvalidInput(f"{operator} takes a list of values for column {column!r}, not {value!r}")
    if len(value) > LISTED_VALUES_MAX:
        raise InvalidInput(f"{operator} takes at most {LISTED_VALUES_MAX:,} values, and {len(value):,} were given")
    return list(value)
