"""The how-to's configuration of PgBouncer, in front of the server of the tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from sagaledger import App, Ledger, Saga

from ..documents.run_page import PageRun
from .guide import blocks_run_by

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
order = Saga("order", input=str, key=str)
order.wait_for("approval")


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed: `make poolers` installs it")
def test_a_ledger_works_behind_the_configured_pooler(postgres_server: str, tmp_path: Path) -> None:
    """It is created directly, and used through the pooler."""
    with psycopg.connect(postgres_server, autocommit=True) as server:
        server.execute("CREATE DATABASE behind_the_how_to")
        server.execute("CREATE ROLE how_to LOGIN SUPERUSER")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folder = Path(conninfo_to_dict(postgres_server)["host"])
    page = blocks_run_by(
        "test_pgbouncer.py",
        "pgbouncer.md",
        replaced={
            "shop = host=127.0.0.1 dbname=shop": f"shop = host={folder} dbname=behind_the_how_to",
            "listen_port = 6432": f"listen_port = {port}\nunix_socket_dir =\nauth_file = {tmp_path / 'users'}",
            "postgresql://shop@127.0.0.1:6432/shop": f"postgresql://how_to@127.0.0.1:{port}/shop",
        },
    )
    configuration = next(block.content for block in page.blocks if block.language == "ini")
    (tmp_path / "pgbouncer.ini").write_text(configuration)
    (tmp_path / "users").write_text('"how_to" ""\n')
    Ledger.open(postgres_server.replace("/postgres?", "/behind_the_how_to?"), create=True).close()

    for each in (tmp_path, *tmp_path.parents[:2]):
        each.chmod(0o755)
    as_owner = ["-u", folder.owner()] if os.geteuid() == 0 else []
    pooler = subprocess.Popen(
        [str(PGBOUNCER), *as_owner, str(tmp_path / "pgbouncer.ini")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"postgresql://how_to@127.0.0.1:{port}/shop"
        wait_for(url, pooler)
        with Ledger.open(url, App(sagas=[order])) as ledger:
            started = ledger.start(order, "1")
            page.blocks = [block for block in page.blocks if block.language == "sh"]
            run = PageRun(page, tmp_path)
            run.run()
        assert started.saga_id in "".join(run.printed.values())
    finally:
        pooler.kill()
        pooler.wait()


def wait_for(url: str, pooler: subprocess.Popen[bytes]) -> None:
    """Wait until the pooler answers."""
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            if pooler.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
