"""Two releases of an app run at once on one ledger, each with its own version of a view, in processes of their own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from .shell import ORDER, PATIENCE_SECONDS, Shell

RELEASES = """
from sqlalchemy import Column, Integer, MetaData, Table, Text

from sagaledger import App, Projection
from sagaledger.domain.shop import PARTICIPANTS, SAGAS
from sagaledger.domain.shop.order import OrderCreated


def app(version, column):
    counts = Projection(
        "counts",
        version=version,
        table=Table("counts", MetaData(), Column("country", Text, primary_key=True), Column(column, Integer)),
        initial=lambda country: {"country": country, column: 0},
    )

    @counts.on(OrderCreated, key=lambda recorded: recorded.event.country or "nowhere")
    def created(row, event, recorded):
        return {**row, column: row[column] + version}

    return App(sagas=SAGAS, participants=PARTICIPANTS, projections=[counts])


OLD, NEW = app(1, "orders"), app(2, "twice")
"""


@pytest.fixture
def deployed(tmp_path: Path, postgres_url: str) -> Iterator[Shell]:
    """A shell on a ledger that the older release works."""
    shell = Shell(tmp_path, postgres_url)
    (tmp_path / "releases.py").write_text(RELEASES)
    assert shell("init", "--app", "releases:OLD").returncode == 0
    yield shell
    shell.close()


def _generations(shell: Shell) -> dict[str, dict[str, Any]]:
    found = {row["name"]: row for row in shell.json("projections")["projections"]}
    return {name: row for name, row in found.items() if name.startswith("counts")}


def _place(shell: Shell, order_id: str) -> None:
    order = str({**ORDER, "order_id": order_id}).replace("'", '"')
    assert shell("start", "fulfil_order", "--app", "releases:OLD", "--input", order).returncode == 0


def test_both_releases_are_followed_side_by_side_until_the_older_one_has_left(deployed: Shell) -> None:
    """`projections` shows both, and who follows them; `prune` drops a generation once no process follows it."""
    older = deployed.worker("--app", "releases:OLD")
    _place(deployed, "T1")
    newer = deployed.worker("--app", "releases:NEW")
    deadline = monotonic() + PATIENCE_SECONDS
    while (found := _generations(deployed)).keys() != {"counts", "counts__v1"} or not all(
        row["followers"] for row in found.values()
    ):
        assert monotonic() < deadline, found
    _place(deployed, "T2")
    answers = [
        deployed.json("query", "counts", "--app", f"releases:{release}", "--wait-for", str(position))["rows"]
        for position in (deployed.json("projections")["head_position"],)
        for release in ("OLD", "NEW")
    ]
    kept = deployed.json("projections", "prune")
    older.send_signal(signal.SIGTERM)
    older.wait(PATIENCE_SECONDS)
    dropped = deployed("projections", "prune", "counts")
    left = _generations(deployed)

    assert answers == [[{"country": "nowhere", "orders": 2}], [{"country": "nowhere", "twice": 4}]]
    assert [(row["version"], row["public"], len(row["followers"])) for row in found.values()] == [
        (2, True, 1),
        (1, False, 1),
    ]
    assert kept == {"dropped": [], "kept": [{"name": "counts__v1", "followers": found["counts__v1"]["followers"]}]}
    assert dropped.stdout == "dropped counts__v1\n"
    assert [(row["name"], row["version"], row["status"]) for row in left.values()] == [("counts", 2, "live")]
    assert newer.poll() is None
    assert deployed("verify", "--app", "releases:NEW").returncode == 0
