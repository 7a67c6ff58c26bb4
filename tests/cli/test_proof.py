"""`verify` from the command line: an edit is found, and its position named."""

from __future__ import annotations

import json
import sqlite3

from sagaledger.infrastructure.shop.order_import import SLICE

from .shell import Shell


def test_a_head_kept_elsewhere_proves_the_log(shop: Shell) -> None:
    """What verify printed is accepted later; another hash is not."""
    found = shop.json("verify", "--app", "shop")
    head = f"{found['head_position']}:{found['head_hash']}"
    forged = f"{found['head_position']}:{'0' * 64}"

    assert list(found) == ["ok", "events", "head_position", "head_hash", "problems", "views_not_compared"]
    assert found["problems"] == found["views_not_compared"] == []
    assert shop("verify", "--expect", head).returncode == 0
    assert shop("verify", "--expect", forged).returncode == 6


def test_an_edited_byte_is_found_with_its_position(sqlite_shell: Shell) -> None:
    """One byte of one event in the file: exit code 6, and the position."""
    sqlite_shell("run", str(SLICE))
    with sqlite3.connect(sqlite_shell.folder / "sagaledger.db") as connection:
        connection.execute("DROP TRIGGER events_are_not_updated")
        connection.execute(
            "UPDATE events SET state = CAST(REPLACE(CAST(state AS TEXT), '1', '2') AS BLOB) WHERE position = 500"
        )
    connection.close()

    done = sqlite_shell("verify", "--json")

    assert done.returncode == 6
    edit, trigger = json.loads(done.stdout)["problems"]
    assert edit["position"] == 500
    assert "events_are_not_updated" in trigger["problem"]
