"""The how-to's restore of a PostgreSQL server to a point in time, with servers of its own."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from sagaledger import App, Ledger, Saga, SagaNotFound
from sagaledger.infrastructure.event_store.verify import verify

from ..documents.page import Page
from .guide import blocks_run_by, only_with_make_guides, postgresql_programs

order = Saga("order", input=str, key=str)
order.wait_for("approval")
SAGAS = App(sagas=[order])

pytestmark = only_with_make_guides


@pytest.fixture
def programs(postgres_server: str) -> Path:
    """Where `initdb` and the others are."""
    return postgresql_programs(postgres_server)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the user that the servers run as: PostgreSQL refuses to be started by root."""
    with tempfile.TemporaryDirectory(prefix="sagaledger-pitr-") as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "servers").mkdir()
        (path / "wal").mkdir()
        if os.geteuid() == 0:
            for each in (path / "servers", path / "wal"):
                shutil.chown(each, nobody())
        yield path


def test_a_server_is_restored_as_it_was_at_a_time(programs: Path, folder: Path) -> None:
    """The saga before that time is there, and the one after it is not."""
    page = blocks_run_by(
        "test_point_in_time.py",
        "backup.md",
        replaced={
            "/var/backups/wal": str(folder / "wal"),
            "/var/backups/base": str(folder / "servers" / "base"),
            "/var/lib/restored": str(folder / "servers" / "restored"),
            "postgresql://shop@localhost/shop": url(folder / "servers" / "first"),
        },
    )
    settings, recovery = (block.content for block in page.blocks if block.language == "ini")
    copy, restore = (block.content for block in page.blocks if block.language == "sh")
    first, restored = (folder / "servers" / name for name in ("first", "restored"))

    as_owner(programs, f"initdb --pgdata={first} --auth=trust --username=postgres --no-sync", folder)
    with (first / "postgresql.conf").open("a") as file:
        file.write(settings.replace("archive_timeout = 60", "archive_timeout = 1"))
    with running(programs, first), Ledger.open(url(first), SAGAS, create=True) as ledger:
        as_owner(programs, copy, folder)
        ledger.start(order, "before")
        chosen = now(first)
        ledger.start(order, "after")
        switch_log(first)
    recovery = re.sub(r"recovery_target_time = .*", f"recovery_target_time = '{chosen.isoformat()}'", recovery)
    (folder / "recovery.conf").write_text(recovery)
    commands = [line for line in restore.splitlines() if not line.startswith(("pg_ctl", "sagaledger"))]
    as_owner(programs, "\n".join(commands), folder)

    with running(programs, restored), Ledger.open(url(restored), SAGAS) as ledger:
        until_promoted(restored)
        assert ledger.state("order-before").status == "running"
        with pytest.raises(SagaNotFound):
            ledger.state("order-after")
        assert verify(ledger.backend).problems == []
        ledger.start(order, "again")


def test_the_page_starts_the_restored_server_and_verifies() -> None:
    """The two commands that the test above does in other words, because of its sockets."""
    page: Page = blocks_run_by("test_point_in_time.py", "backup.md")

    last = page.blocks[-1].content.splitlines()[-2:]

    assert [line.split(" ")[0] for line in last] == ["pg_ctl", "sagaledger"]


def nobody() -> str:
    """A user that is not root."""
    return pwd.getpwnam("nobody").pw_name


def url(data: Path) -> str:
    """The URL of the server with a data folder: its socket is in that folder."""
    return f"postgresql://postgres@/postgres?host={data}"


def as_owner(programs: Path, script: str, folder: Path) -> None:
    """Run a script as the user that the servers belong to."""
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    user = nobody() if os.geteuid() == 0 else None
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, env=environment, user=user, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"


@contextmanager
def running(programs: Path, data: Path) -> Iterator[None]:
    """Run the server of a data folder, which listens on no port."""
    options = f"-c listen_addresses= -c unix_socket_directories={data}"
    as_owner(programs, f"pg_ctl --pgdata={data} --wait --log={data}/log -o '{options}' start", data)
    try:
        yield
    finally:
        as_owner(programs, f"pg_ctl --pgdata={data} --wait --mode=fast stop", data)


def now(data: Path) -> datetime:
    """The time by the server's clock."""
    with psycopg.connect(url(data)) as connection:
        [found] = connection.execute("SELECT clock_timestamp()").fetchone() or []
        assert isinstance(found, datetime)
        return found


def until_promoted(data: Path) -> None:
    """Wait until the server takes writes: before, it answers reads only."""
    deadline = time.monotonic() + 60
    with psycopg.connect(url(data), autocommit=True) as connection:
        while connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def switch_log(data: Path) -> None:
    """Have the last segment archived, as `archive_timeout` would."""
    with psycopg.connect(url(data), autocommit=True) as connection:
        connection.execute("SELECT pg_switch_wal()")
