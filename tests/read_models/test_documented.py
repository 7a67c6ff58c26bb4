"""The page on views lists every column of every view."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import Table

from sagaledger.infrastructure.read_models.checkpoints import JOURNAL, PROJECTIONS
from sagaledger.infrastructure.read_models.declarations import DECLARATIONS
from sagaledger.infrastructure.read_models.following import FOLLOWERS
from sagaledger.projections.choreography import CHOREOGRAPHY_PROJECTIONS
from sagaledger.projections.column_types import INTERNAL
from sagaledger.projections.saga import SAGA_PROJECTIONS
from sagaledger.projections.saga.saga_attributes import SAGA_ATTRIBUTES
from sagaledger.projections.saga.saga_steps import CANCELLED, FAILED, SKIPPED, STARTED, SUCCEEDED, UNKNOWN, WAITING
from sagaledger.projections.schedule import SCHEDULE_PROJECTIONS
from sagaledger.projections.shop import SHOP_PROJECTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "views.md").read_text()
TABLES = [
    DECLARATIONS,
    FOLLOWERS,
    JOURNAL,
    PROJECTIONS,
    SAGA_ATTRIBUTES,
    *(p.table for p in (*SAGA_PROJECTIONS, *CHOREOGRAPHY_PROJECTIONS, *SCHEDULE_PROJECTIONS, *SHOP_PROJECTIONS)),
]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_of_a_view_is_documented_in_its_order(table: Table) -> None:
    """Internal columns are in italics."""
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{table.name}` |"))

    documented = re.findall(r"(\*?)`(\w+)`", row.rsplit("|", 2)[1])

    assert documented == [("*" if column.info == INTERNAL else "", column.name) for column in table.columns]


def test_every_status_of_a_step_is_documented() -> None:
    """In the list of them under the table of views."""
    (listed,) = re.findall(r"^- `saga_steps`: (.*?)^- ", PAGE, re.DOTALL | re.MULTILINE)

    statuses = (STARTED, WAITING, CANCELLED, SKIPPED, SUCCEEDED, FAILED, UNKNOWN)
    assert [status for status in statuses if f"`{status}`" not in listed] == []
