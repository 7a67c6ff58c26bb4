"""A query answers with exactly the rows that fulfil its conditions, on both databases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    Float,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
)
from sqlalchemy.dialects import postgresql, sqlite

from sagaledger.domain.errors import InvalidInput
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.read_models.condition import OPERATORS
from sagaledger.infrastructure.read_models.filter import Filter, select_rows
from sagaledger.projections.column_types import UtcDateTime
from sagaledger.projections.projection import Row

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEXTS = (
    "",
    "a",
    "A",
    "ab",
    "aB",
    "b",
    "Ä",
    "ä",
    "z",
    "a%",
    "a_b",
    "a*b",
    "[a]",
    "a?",
    "a\\b",
    "a\nb",
    "é",
    "ﬁ",
    "\U0001d4b6",
    "10",
    "9",
)
NUMBERS = (-1, 0, 1, 2, 9, 10, 2**31, 2**53 + 1, -(2**63), 2**63 - 1)
FRACTIONS = (-1.5, 0.0, 0.1, 1.0, 9.0, 10.25, 1e15)
TIMES = tuple(NOON + timedelta(microseconds=step) for step in (-86_400_000_000, -1, 0, 1, 1_000, 3_600_000_000))
PATTERNS = ("%", "_", "a%", "%b", "a_b", "A%", "%\\%", "\\_", "[a]", "a*b", "a?", "%a%", "Ä", "", "a\\\\b", "_b")
VALUES: dict[str, tuple[Any, ...]] = {
    "label": TEXTS,
    "pieces": NUMBERS,
    "weight": FRACTIONS,
    "packed": (True, False),
    "packed_at": TIMES,
}
GOODS = Table(
    "goods",
    MetaData(),
    Column("number", Integer, primary_key=True),
    Column("label", Text),
    Column("pieces", BigInteger),
    Column("weight", Float),
    Column("packed", Boolean),
    Column("packed_at", UtcDateTime),
)
ROWS: list[Row] = [
    {
        "number": number,
        **{
            name: None if number % (7 + at) == 0 else values[number * (at + 1) % len(values)]
            for at, (name, values) in enumerate(VALUES.items())
        },
    }
    for number in range(1, 120)
]


@pytest.fixture
def connection(log: Backend) -> Iterator[Connection]:
    """Reads a table that has every value, and columns without one."""
    with log.views.writing() as writer:
        GOODS.create(writer)
        writer.execute(insert(GOODS), ROWS)
    with log.views.reading() as reader:
        yield reader


def _condition(column: str) -> st.SearchStrategy[tuple[Any, ...]]:
    values = st.sampled_from(VALUES[column])
    single = st.sampled_from(
        [op for op in ("=", "!=", "<", "<=", ">", ">=") if column != "packed" or op in ("=", "!=")]
    )
    kinds = [
        st.tuples(st.just(column), single, values),
        st.tuples(st.just(column), st.sampled_from(["=", "!="]), st.none()),
        st.tuples(st.just(column), st.sampled_from(["in", "not in"]), st.lists(values | st.none(), max_size=4)),
        st.tuples(st.just(column), st.sampled_from(["is null", "is not null"])),
    ]
    if column == "label":
        kinds.append(st.tuples(st.just(column), st.sampled_from(["like", "not like"]), st.sampled_from(PATTERNS)))
    return st.one_of(kinds)


CONDITIONS = st.lists(st.sampled_from(sorted(VALUES)).flatmap(_condition), max_size=3)
ORDERS = st.sampled_from([(), ("-label",), ("packed_at",), ("-pieces", "label")])


def _holds(row: Row, column: str, operator: str, wanted: Any = None) -> bool:
    """What a condition means, written for one row."""
    value = row[column]
    match operator:
        case "=":
            return bool(value == wanted)
        case "!=":
            return bool(value != wanted)
        case "in":
            return value in wanted
        case "not in":
            return value not in wanted
        case "is null":
            return value is None
        case "is not null":
            return value is not None
        case "like" | "not like":
            return (value is not None and bool(_regex(wanted).fullmatch(value))) == (operator == "like")
    if value is None:
        return False
    return bool({"<": value < wanted, "<=": value <= wanted, ">": value > wanted, ">=": value >= wanted}[operator])


def _regex(pattern: str) -> re.Pattern[str]:
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    meaning = {"%": ".*", "_": "."}
    return re.compile("".join(meaning.get(part) or re.escape(part[-1]) for part in parts), re.DOTALL)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=CONDITIONS, order=ORDERS)
def test_an_answer_has_the_rows_that_fulfil_every_condition(
    connection: Connection, where: list[tuple[Any, ...]], order: tuple[str, ...]
) -> None:
    """Upper and lower case differ, text is compared by code point, and pages put together are the whole answer."""
    expected = {row["number"]: row for row in ROWS if all(_holds(row, *each) for each in where)}

    pages: list[Row] = []
    while page := _rows(connection, Filter(where, order, 40, pages[-1] if pages else None)):
        pages += page

    assert len(pages) == len(expected)
    assert {row["number"]: row for row in pages} == expected


@pytest.mark.parametrize(
    ("where", "says"),
    [
        (
            "packed>true",
            "> 'true' cannot be asked of column 'packed' of view 'goods', which holds true or false: use =",
        ),
        (
            "pieces like 1%",
            "like '1%' cannot be asked of column 'pieces' .*, which holds a whole number: like compares",
        ),
        ("pieces>ten", "column 'pieces' of view 'goods' takes a whole number, not 'ten': write it as 1234"),
        (("pieces", ">", 1.5), "takes a whole number, not 1.5"),
        (("weight", "<", float("nan")), "takes a number, not nan: write it as 12.5"),
        ("weight<much", "takes a number, not 'much'"),
        ("packed_at>yesterday", "takes a time, not 'yesterday': .* 7d for seven days ago"),
        ("packed in yes,perhaps", "takes true or false, not 'perhaps'"),
        ("colour like r%", "view 'goods' has no column 'colour': it has number, label"),
        ("label like a\\", "the pattern 'a.*' of column 'label' ends with a single"),
    ],
)
def test_what_a_column_cannot_be_asked_is_refused(where: Any, says: str) -> None:
    """The error names the column, its type, the value, and what to ask instead."""
    with pytest.raises(InvalidInput, match=says):
        select_rows(GOODS, Filter([where]))


@pytest.mark.parametrize("dialect", [postgresql.dialect(), sqlite.dialect()], ids=lambda dialect: dialect.name)
def test_a_value_is_never_part_of_the_statement(dialect: Dialect) -> None:
    """Whatever a text says, it is a parameter."""
    hostile = "x'; DROP TABLE goods; --"
    conditions = [
        ("label", operator, [hostile] if operator.endswith("in") else hostile)
        for operator in OPERATORS
        if "null" not in operator
    ]

    statement = str(select_rows(GOODS, Filter(conditions)).compile(dialect=dialect))

    assert "DROP" not in statement
    with pytest.raises(InvalidInput, match="no column"):
        select_rows(GOODS, Filter([(f"label{hostile}", "=", 1)]))


def test_text_is_compared_by_code_point_whatever_the_language_of_the_database() -> None:
    """A server whose collations sort as a language does would otherwise answer otherwise than SQLite."""
    compared = select_rows(GOODS, Filter(["label<b", "pieces<5"])).compile(dialect=postgresql.dialect())

    assert '(goods.label COLLATE "C") < ' in str(compared)
    assert str(compared).count("COLLATE") == 1


def test_a_time_may_be_relative(connection: Connection) -> None:
    """What happened in the last two hours before a moment."""
    now = NOON + timedelta(hours=1)

    found = _rows(connection, Filter(["packed_at>=1h"], now=now, limit=1_000))
    same = _rows(connection, Filter([("packed_at", ">=", timedelta(hours=1))], now=now, limit=1_000))

    assert found == same == [row for row in ROWS if row["packed_at"] is not None and row["packed_at"] >= NOON]
    assert found


def _rows(connection: Connection, filter_: Filter) -> list[Row]:
    return [dict(row) for row in connection.execute(select_rows(GOODS, filter_)).mappings()]
