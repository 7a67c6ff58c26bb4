"""Backups of the how-to: by pg_dump, by the shell of SQLite, and by litestream."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from sagaledger import App, Ledger, Saga

from ..documents.run_page import PageRun
from .guide import blocks_run_by, only_with_make_guides, postgresql_programs

TEST = "test_backup.py"
STARTED = """
```sh
sagaledger start order --input '{"number": "1"}' --app sagas.py:app --db URL
sagaledger worker --until-idle --app sagas.py:app --db URL
```
"""


def test_a_dump_is_restored_as_the_ledger_that_it_was(
    postgres_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It verifies, has the same end, and goes on."""
    database, restored = f"dumped_{tmp_path.name}"[:40], f"restored_{tmp_path.name}"[:40]
    monkeypatch.setenv("PATH", f"{postgresql_programs(postgres_server)}{os.pathsep}{os.environ['PATH']}")
    url, restored_url = (postgres_server.replace("/postgres?", f"/{name}?") for name in (database, restored))
    with psycopg.connect(postgres_server, autocommit=True) as server:
        server.execute(SQL("CREATE DATABASE {}").format(Identifier(database)))
    page = blocks_run_by(
        TEST,
        "backup.md",
        before=f"```sh\nsagaledger init --app sagas.py:app --db '{url}'\n```\n{STARTED.replace('URL', repr(url))}",
        replaced={
            "postgresql://shop@localhost/shop": url,
            "postgresql://shop@localhost/restored": restored_url,
            "' restored\n": f"' {restored}\n",
        },
    )
    page.blocks = [block for block in page.blocks if "litestream" not in f"{block.file} {block.content}"]

    PageRun(page, tmp_path).run()

    with Ledger.open(url) as before, Ledger.open(restored_url) as after:
        assert after.backend.head() == before.backend.head()
        assert after.state("order-1") == before.state("order-1")
        after.approve("order-1", "approval", actor="ann", reason="restored")
        assert after.state("order-1").version == before.state("order-1").version + 1


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="sqlite3 is not installed")
def test_the_shell_of_sqlite_copies_a_ledger_that_is_open(tmp_path: Path) -> None:
    """Also what is only in the write-ahead log."""
    greet = Saga("greet", input=str, key=str)
    greet.wait_for("answer")
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", App(sagas=[greet]), create=True) as ledger:
        ledger.start(greet, "ann")
        subprocess.run(["sqlite3", "ledger.db", '.backup "backup.db"'], cwd=tmp_path, check=True)
        with Ledger.open(f"sqlite:///{tmp_path / 'backup.db'}") as copy:
            assert copy.state("greet-ann") == ledger.state("greet-ann")


@only_with_make_guides
def test_litestream_restores_what_it_replicated(tmp_path: Path) -> None:
    """A replica in a folder, beside a worker."""
    worker = "```sh\nsagaledger worker --app sagas.py:app --db sqlite:///ledger.db >/dev/null 2>&1 &\n```\n"
    page = blocks_run_by(TEST, "backup.md", before=STARTED.replace("URL", "sqlite:///ledger.db") + worker)
    page.blocks = [block for block in page.blocks if "pg_dump" not in block.content]

    PageRun(page, tmp_path).run()

    with Ledger.open(f"sqlite:///{tmp_path / 'restored.db'}") as ledger:
        assert ledger.state("order-1").status == "waiting"
