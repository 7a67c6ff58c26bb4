"""The how-to's restore of a PostgreSQL server to a point in time, with servers of its own."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from sagaledger import App, Ledger, Saga, SagaNotFound
from sagaledger.infrastructure.event_store.verify import verify

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
        switch_log(first, folder / "wal")
    recovery = re.sub(r"recovery_target_time = .*", f"recovery_target_time = '{chosen.isoformat()}'", recovery)
    (folder / "recovery.conf").write_text(recovery)
    *commands, start, check = restore.splitlines()
    assert (start.split()[0], check.split()[0]) == ("pg_ctl", "sagaledger")  # done below, with a socket of its own
    as_owner(programs, "\n".join(commands), folder)

    with running(programs, restored), Ledger.open(url(restored), SAGAS) as ledger:
        until_promoted(restored)
        assert ledger.state("order-before").status == "running"
        with pytest.raises(SagaNotFound):
            ledger.state("order-after")
        assert verify(ledger.backend).problems == []
        ledger.start(order, "again")


def nobody() -> str:
    """A user that is not root."""
    return pwd.getpwnam("nobody").pw_name


def url(data: Path) -> str:
    """The URL of the server with a data folder."""
    return f"postgresql://postgres@/postgres?host={socket_of(data)}"


def socket_of(data: Path) -> Path:
    """The folder of a server's socket, which is beside its data, since a copy of the data must not have it."""
    return data.with_name(f"{data.name}-socket")


def as_owner(programs: Path, script: str, folder: Path) -> None:
    """Run a script as the user that the servers belong to."""
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    user = nobody() if os.geteuid() == 0 else None
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, env=environment, user=user, capture_output=True, text=True, check=False
    )
    logs = "".join(log.read_text() for log in folder.rglob("log") if done.returncode)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}{logs}"


@contextmanager
def running(programs: Path, data: Path) -> Iterator[None]:
    """Run the server of a data folder, which listens on no port."""
    options = f"-c listen_addresses= -c unix_socket_directories={socket_of(data)}"
    as_owner(programs, f"mkdir -p {socket_of(data)}", data.parents[1])
    as_owner(programs, f"pg_ctl --pgdata={data} --wait --log={data}/log -o '{options}' start", data)
    try:
        yield
    finally:
        as_owner(programs, f"pg_ctl --pgdata={data} --wait --mode=fast stop", data.parents[1])


def now(data: Path) -> datetime:
    """The time by the server's clock."""
    with psycopg.connect(url(data)) as connection:
        [found] = connection.execute("SELECT clock_timestamp()").fetchone() or []
        assert isinstance(found, datetime)
        return found


def until_promoted(data: Path) -> None:
    """Wait until the server takes writes: before, it answers reads only."""
    with psycopg.connect(url(data), autocommit=True) as connection:
        until(lambda: connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,))


def switch_log(data: Path, archive: Path) -> None:
    """Have the last segment archived, as `archive_timeout` would."""
    with psycopg.connect(url(data), autocommit=True) as connection:
        [segment] = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone() or []
    until(lambda: (archive / segment).exists())


def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)
