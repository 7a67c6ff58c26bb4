"""The SQL files: each says what it is for, each is used, and no other is asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sagaledger.infrastructure.event_store.sql_files import migrations, queries, schema_version

EVENT_STORE = Path(__file__).parents[2] / "infrastructure" / "event_store"
ASKED_FOR = re.compile(r"""(?:SQL\[|fetch\(|fetch_ahead\(|_read\()(?:\s*)"(\w+)"|"(\w+)" if topics else "(\w+)\"""")

dialects = pytest.mark.parametrize("dialect", ["sqlite", "postgres"])


@dialects
def test_every_file_begins_with_what_it_is_for(dialect: str) -> None:
    """In a comment, above the statement or the object."""
    files = sorted((EVENT_STORE / dialect / "sql").rglob("*.sql"))

    assert files
    assert [file.name for file in files if not file.read_text(encoding="utf-8").startswith("-- ")] == []


@dialects
def test_every_query_is_used_and_every_one_that_is_used_exists(dialect: str) -> None:
    """Under the name of its file."""
    sources = [file.read_text(encoding="utf-8") for file in (EVENT_STORE / dialect).glob("*.py")]
    asked_for = {name for source in sources for found in ASKED_FOR.findall(source) for name in found if name}

    assert asked_for == set(queries(dialect))


@dialects
def test_a_query_is_sent_without_the_comment_above_it(dialect: str) -> None:
    """Comments within it stay."""
    assert [name for name, statement in queries(dialect).items() if statement.startswith("--")] == []
    assert "-- " in queries("sqlite")["streams"]


@dialects
def test_migrations_have_the_versions_in_order_without_a_gap(dialect: str) -> None:
    """The last one is the version of the schema."""
    versions = [migration.version for migration in migrations(dialect)]

    assert versions == list(range(1, schema_version(dialect) + 1))


def test_the_parameters_of_a_query_are_not_numbered() -> None:
    """Python 3.12 takes `?1` for a named one: it warns, and says that a later version will refuse it."""
    assert [name for name, statement in queries("sqlite").items() if re.search(r"\?\d", statement)] == []
