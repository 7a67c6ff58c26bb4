"""Conditions are read from the texts of a command line, and from the values of a program."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sagaledger.domain.errors import InvalidInput
from sagaledger.domain.instants import EARLIEST
from sagaledger.infrastructure.read_models.condition import RowCondition, conditions_of, read_condition
from sagaledger.infrastructure.read_models.like_pattern import LikePattern
from sagaledger.infrastructure.read_models.relative_time import read_time

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("status=completed", ("status", "=", "completed")),
        ("reason=a>b=c", ("reason", "=", "a>b=c")),
        ("reason= with a space ", ("reason", "=", " with a space ")),
        ("customer_id=", ("customer_id", "=", None)),
        ("customer_id!=", ("customer_id", "!=", None)),
        ("status = completed ", ("status", "=", "completed")),
        ("total>100", ("total", ">", "100")),
        ("total >= 100", ("total", ">=", "100")),
        ("total<=-5", ("total", "<=", "-5")),
        ("total<>5", ("total", "!=", "5")),
        ("Total amount>5", ("Total amount", ">", "5")),
        ("status in a,b", ("status", "in", ["a", "b"])),
        ('status NOT  IN "a, ""b""", c ', ("status", "not in", ['a, "b"', "c"])),
        ("country like F%=", ("country", "like", "F%=")),
        ("country not like %>_", ("country", "not like", "%>_")),
        ("customer_id is null", ("customer_id", "is null", None)),
        ("customer_id  IS  NOT NULL", ("customer_id", "is not null", None)),
    ],
)
def test_a_condition_is_read_from_a_text(text: str, condition: tuple[str, str, Any]) -> None:
    """The first operator after the name of the column counts, and the rest is the value."""
    assert read_condition(text) == RowCondition(*condition)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lines", "'lines' is not of the form COLUMN=VALUE"),
        ("=5", "not of the form"),
        ("", "not of the form"),
        ("total>", "nothing after >"),
        ("total > ", "nothing after >"),
        ("status in a,,b", "empty value"),
        ('status in "a', "cannot be told apart"),
        ("status in a, ", "empty value"),
        (f"status in {','.join(['a'] * 1001)}", "at most 1,000 values, and 1,001"),
    ],
)
def test_a_text_that_is_no_condition_is_refused_with_how_to_write_one(text: str, says: str) -> None:
    """The error quotes what was written."""
    with pytest.raises(InvalidInput, match=says):
        read_condition(text)


def test_a_program_gives_values_by_column_or_conditions() -> None:
    """A mapping means equality, as it always has; a list in it means any of its values."""
    assert conditions_of({"a": 1, "b": None, "c": ["x", "y"]}) == [
        RowCondition("a", "=", 1),
        RowCondition("b", "="),
        RowCondition("c", "in", ["x", "y"]),
    ]
    assert conditions_of([("a", ">", 1), "b is null", ("c", "IN", {"x"})]) == [
        RowCondition("a", ">", 1),
        RowCondition("b", "is null"),
        RowCondition("c", "in", ["x"]),
    ]
    assert conditions_of("a>1") == [RowCondition("a", ">", "1")]
    assert conditions_of(conditions_of([("a", "is not null")])) == [RowCondition("a", "is not null")]


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (("a", "~", 1), "'~' is no operator of a condition: there are ="),
        (("a", "in", "xy"), "takes a list of values for column 'a', not 'xy'"),
        (("a", "=", [1]), "compares column 'a' with one value: use in"),
        (("a", "<", None), "None is none: use is null"),
        (("a", "like"), "2 parts: like takes a column and a value"),
        ((1, "=", 2), "is no condition: give a tuple such as"),
        (7, "is no condition"),
    ],
)
def test_what_a_program_gives_wrongly_is_refused_with_what_to_give(condition: Any, says: str) -> None:
    """The error names the operator and the column."""
    with pytest.raises(InvalidInput, match=says):
        conditions_of([condition])


def test_conditions_are_bounded() -> None:
    """A statement of any length would take a database down."""
    with pytest.raises(InvalidInput, match="at most 100 conditions, and 101"):
        conditions_of(["a=1"] * 101)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("36h", NOW - timedelta(hours=36)),
        (" 7d ", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2w", datetime(2026, 2, 22, 12, tzinfo=UTC)),
        ("0d", NOW),
        ("999999w", EARLIEST),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T02:00:00+02:00", datetime(2026, 3, 1, tzinfo=UTC)),
    ],
)
def test_a_time_is_absolute_or_so_long_ago(text: str, time: datetime) -> None:
    """Beyond the calendar it is the first moment of it."""
    assert read_time(text, NOW) == time


@pytest.mark.parametrize("text", ["7", "d", "9999999d", "7 d", "-7d", "7y", "7d3h", "\u0667d", "soon"])
def test_any_other_text_is_no_time(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=r"."):
        read_time(text, NOW)


@pytest.mark.parametrize(
    ("pattern", "like", "glob"),
    [
        ("F%", "F%", "F*"),
        ("_[*?", "_[*?", "?[[][*][?]"),
        (r"100\%\_\\", r"100\%\_\\", r"100%_" + "\\"),
        (r"\a", "a", "a"),
    ],
)
def test_a_pattern_is_written_for_each_database(pattern: str, like: str, glob: str) -> None:
    """What stands for other characters in one of them is escaped there."""
    assert LikePattern.read(pattern, "the pattern") == (like, glob)


@pytest.mark.parametrize(("pattern", "says"), [("a\\", "ends with a single"), ("a" * 1001, "1,001 characters")])
def test_a_pattern_that_a_database_would_refuse_is_refused_before(pattern: str, says: str) -> None:
    """The error is one of the input, and not of the database."""
    with pytest.raises(InvalidInput, match=says):
        LikePattern.read(pattern, "the pattern")
