"""A page of the list is read from an index in its order, with any filter and at any size of the view."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Select, insert, text

from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.read_models.filter import Filter, select_rows
from sagaledger.infrastructure.read_models.tables import install
from sagaledger.projections.projection import Row
from sagaledger.projections.saga import sagas

from ..prepared_ledgers import PreparedSchemas, create_log

SAGAS = 20_000
AT_ONCE = 10
"""How many sagas start at the same moment."""
PAGE_ROWS = 50
READ_ROWS_MAX = 4 * PAGE_ROWS
OPENING = datetime(2020, 1, 1, tzinfo=UTC)
MIDDLE = {"started_at": OPENING + timedelta(minutes=SAGAS // AT_ONCE // 2), "saga_id": f"saga-{SAGAS // 2}"}

FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"status": "completed"},
    {"status": "waiting"},
    {"status": "needs_intervention"},
    {"definition": "fulfil_order"},
    {"definition": "return_goods"},
    {"definition": "fulfil_order", "status": "completed"},
    {"definition": "return_goods", "status": "completed"},
)


def _saga(number: int) -> Row:
    """Orders that are all completed, and returns that all wait, the oldest of them; a few need a person."""
    is_order = number % 2 == 0
    started_at = OPENING + timedelta(minutes=number // AT_ONCE)
    status = "completed" if is_order or number > SAGAS // 3 else "waiting"
    return {
        **dict.fromkeys(sagas.columns),
        "saga_id": f"saga-{number}",
        "definition": "fulfil_order" if is_order else f"return_goods{'' if status == 'waiting' else '_quickly'}",
        "version": 1,
        "style": "orchestrated",
        "status": "needs_intervention" if number % 1_000 == 0 else status,
        "correlation_id": f"saga-{number}",
        "started_at": started_at,
        "updated_at": started_at,
        "events": 5,
        "findings": 0,
    }


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def many_sagas(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A ledger that has had many sagas, once for each backend: the tests only read it."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('pages') / 'ledger.db'}"
        else:
            schemas: PreparedSchemas = request.getfixturevalue("prepared_schemas")(create_log)
            url = stack.enter_context(schemas.lend())
        log = stack.enter_context(closing(open_backend(url)))
        install(log.views, [sagas])
        with log.views.writing() as writer:
            writer.execute(insert(sagas.table), [_saga(number) for number in range(SAGAS)])
            if writer.dialect.name == "postgresql":  # as its autovacuum does
                writer.execute(text("ANALYZE sagas"))
        yield log


@pytest.fixture
def connection(many_sagas: Backend) -> Iterator[Connection]:
    """Reads the ledger."""
    with many_sagas.views.reading() as reader:
        yield reader


@pytest.mark.xdist_group("pages")  # one process makes the ledger
@pytest.mark.parametrize("after", [None, MIDDLE], ids=["first", "next"])
@pytest.mark.parametrize("where", FILTERS, ids=lambda where: " ".join(where.values()) or "all")
def test_a_page_of_the_list_reads_about_as_many_rows_as_it_shows(
    connection: Connection, where: dict[str, str], after: Row | None
) -> None:
    """The database reads neither rows that do not match nor rows of other pages, and sorts nothing."""
    page = select_rows(sagas.table, Filter(where, ("-started_at",), PAGE_ROWS, after))

    if connection.dialect.name == "postgresql":
        assert _rows_read(connection, page) <= READ_ROWS_MAX
    else:
        (step, *sorting) = _steps(connection, page)
        assert " USING INDEX sagas_" in step
        assert after is None or "started_at<?" in step
        assert [word in step for word in ("definition=?", "status=?")] == [
            name in where for name in ("definition", "status")
        ]
        assert sorting in ([], ["USE TEMP B-TREE FOR RIGHT PART OF ORDER BY"])


def _rows_read(connection: Connection, asked: Select[Any]) -> int:
    """Return how many rows PostgreSQL read."""
    ((plan,),) = _explained(connection, "EXPLAIN (ANALYZE, FORMAT JSON)", asked)
    node = plan[0]["Plan"]
    while "Plans" in node:
        (node,) = node["Plans"]
    return int(node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * int(node["Actual Loops"])


def _steps(connection: Connection, asked: Select[Any]) -> list[str]:
    """Return the steps of SQLite's query plan."""
    return [step for *_, step in _explained(connection, "EXPLAIN QUERY PLAN", asked)]


def _explained(connection: Connection, how: str, asked: Select[Any]) -> list[Any]:
    sql = asked.compile(connection.engine, compile_kwargs={"literal_binds": True})
    return list(connection.exec_driver_sql(f"{how} {sql}"))
