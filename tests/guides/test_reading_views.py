"""The how-to of reading views: pandas on both databases, and DuckDB on a file of rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagaledger import App, Ledger, Saga

from ..documents.run_page import PageRun
from .guide import blocks_run_by, only_with_make_guides

TEST, PAGE = "test_reading_views.py", "reading-views.md"

pytestmark = only_with_make_guides


def test_pandas_and_duckdb_read_the_demo(tmp_path: Path) -> None:
    """Both find the orders that the ledger has."""
    pytest.importorskip("pandas")
    pytest.importorskip("duckdb")
    run = PageRun(blocks_run_by(TEST, PAGE), tmp_path)

    run.run()

    assert not run.mismatches, "\n\n".join(map(str, run.mismatches))


def test_pandas_reads_postgresql(postgres_url: str) -> None:
    """A time has its zone there, and rows and position are of one moment."""
    pandas = pytest.importorskip("pandas")
    from sqlalchemy import create_engine, text  # noqa: PLC0415 -- as pandas

    greet = Saga("greet", input=str, key=str)
    greet.wait_for("answer")
    with Ledger.open(postgres_url, App(sagas=[greet]), create=True) as ledger:
        ledger.start(greet, "ann")
        ledger.projector().catch_up()
    engine = create_engine(
        postgres_url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="REPEATABLE READ"
    )
    with engine.connect() as connection:
        position = connection.scalar(text("SELECT position FROM projections WHERE name = 'sagas'"))
        sagas = pandas.read_sql("SELECT * FROM sagas", connection, parse_dates=["started_at"])
    engine.dispose()

    assert position == 1
    assert sagas["saga_id"].tolist() == ["greet-ann"]
    assert str(sagas["started_at"].dtype).endswith("UTC]")
