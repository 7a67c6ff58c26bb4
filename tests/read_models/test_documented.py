"""The page on views lists every column of every view."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import Table

from sagaledger.infrastructure.read_models.checkpoints import JOURNAL, PROJECTIONS
from sagaledger.projections.choreography import CHOREOGRAPHY_PROJECTIONS
from sagaledger.projections.column_types import INTERNAL
from sagaledger.projections.saga import SAGA_PROJECTIONS
from sagaledger.projections.saga.saga_attributes import SAGA_ATTRIBUTES
from sagaledger.projections.shop import SHOP_PROJECTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "views.md").read_text()
TABLES = [
    JOURNAL,
    PROJECTIONS,
    SAGA_ATTRIBUTES,
    *(p.table for p in (*SAGA_PROJECTIONS, *CHOREOGRAPHY_PROJECTIONS, *SHOP_PROJECTIONS)),
]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_of_a_view_is_documented_in_its_order(table: Table) -> None:
    """Internal columns are in italics."""
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{table.name}` |"))

    documented = re.findall(r"(\*?)`(\w+)`", row.rsplit("|", 2)[1])

    assert documented == [("*" if column.info == INTERNAL else "", column.name) for column in table.columns]
