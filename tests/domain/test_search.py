"""The search attributes of a saga are checked where they are declared, and change nothing that is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

from sagaledger import DefinitionError, Saga
from sagaledger.projections.saga.attribute_value import (
    VALUE_CHARACTERS_MAX,
    AttributeValue,
    ValueKind,
    number_of,
    time_of,
    values_of,
)


class Colour(Enum):
    """A closed set of texts."""

    RED = "red"


def _length(value: str) -> int:
    return len(value)


async def _later(value: str) -> str:
    return value


def _declared(search: Any) -> Saga[str]:
    saga = Saga("letters", input=str, search=search)
    saga.step(name="post", compensable=False)(lambda value, _: value)
    return saga


@pytest.mark.parametrize(
    ("search", "says"),
    [
        ([("length", len)], "must be a dict of functions by name, and is a list"),
        ({"length": "len"}, "attribute 'length' must be a function of input"),
        ({"length": lambda: 1}, "attribute 'length' must take 1 arguments"),
        ({"length": _later}, "attribute 'length' is async"),
        ({"length": lambda value: (yield value)}, "attribute 'length' yields"),
        ({"le-ngth": _length}, "an attribute named 'le-ngth': use letters"),
        ({"total>1": _length}, "an attribute named 'total>1'"),
        ({"": _length}, "an attribute named ''"),
        ({7: _length}, "an attribute named 7"),
        ({"a" * 51: _length}, "at most 50 of them"),
        ({f"a{number}": _length for number in range(51)}, "has 51 attributes: declare at most 50"),
    ],
)
def test_search_functions_that_cannot_work_are_refused_where_they_are_declared(search: Any, says: str) -> None:
    """The error names the saga, the attribute and what to change."""
    with pytest.raises(DefinitionError, match=f"saga 'letters': search.*{says}"):
        _declared(search)


def test_search_functions_are_no_part_of_the_fingerprint() -> None:
    """They can be added to a saga that has history."""
    search: Mapping[str, Callable[[str], Any]] = {"length": _length}

    assert _declared(search).definition.fingerprint == _declared(None).definition.fingerprint
    assert dict(_declared(search).definition.search) == search
    assert dict(_declared(None).definition.search) == {}


@pytest.mark.parametrize(
    ("returned", "values"),
    [
        (None, []),
        ("C-1", [("C-1", "text")]),
        ("", [("", "text")]),
        (True, [("true", "boolean")]),
        (17, [("17", "number")]),
        (2**70, [(str(2**70), "number")]),
        (10.0, [("10", "number")]),
        (-0.0, [("0", "number")]),
        (1e-7, [("0.0000001", "number")]),
        (Decimal("10.50"), [("10.5", "number")]),
        (Decimal("1E+3"), [("1000", "number")]),
        (Colour.RED, [("red", "text")]),
        (UUID(int=1), [("00000000-0000-0000-0000-000000000001", "text")]),
        (date(2026, 3, 1), [("2026-03-01", "time")]),
        (datetime(2026, 3, 1, 2, tzinfo=timezone(timedelta(hours=2))), [("2026-03-01T00:00:00.000000Z", "time")]),
        (datetime(2026, 3, 1), [("2026-03-01T00:00:00.000000Z", "time")]),  # noqa: DTZ001 -- UTC, as everywhere
        (["a", None, "b", "a"], [("a", "text"), ("b", "text")]),
        ((1, "1"), [("1", "number"), ("1", "text")]),
        (frozenset({"a"}), [("a", "text")]),
        ([], []),
    ],
)
def test_equal_values_have_one_text(returned: Any, values: list[tuple[str, str]]) -> None:
    """None is no value, and a list is several."""
    assert [tuple(value) for value in values_of(returned)] == values


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ({"a": 1}, "of type dict: return text"),
        (b"a", "of type bytes"),
        ([["a"]], "of type list"),
        (float("nan"), "which has no text"),
        (Decimal("1E+999999"), "which has no text"),
        ("a" * (VALUE_CHARACTERS_MAX + 1), "251 characters: at most 250"),
        (list(range(101)), "101 values: at most 100"),
    ],
)
def test_what_cannot_be_found_is_no_value(returned: Any, says: str) -> None:
    """The reason is logged, and names what to return."""
    with pytest.raises((TypeError, ValueError), match=says):
        values_of(returned)


def test_numbers_and_times_are_compared_as_such() -> None:
    """A date begins at midnight of UTC; a text that looks like a number is none."""
    [number] = values_of(10.5)
    [day] = values_of(date(2026, 3, 1))
    [instant] = values_of(datetime(2026, 3, 1, 12, tzinfo=UTC))

    assert number_of(number) == 10.5
    assert time_of(day) == datetime(2026, 3, 1, tzinfo=UTC)
    assert time_of(instant) == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert number_of(AttributeValue("10.5", ValueKind.TEXT)) is None
    assert time_of(number) is None
