"""PgBouncer in front of the tests' PostgreSQL server: many clients share few sessions of it, one transaction each."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

START_SECONDS_MAX = 20.0
SESSIONS = 2
"""How many sessions of the server all clients of one role share."""

_CONFIGURATION = """
[databases]
* = host={host}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_user = {user}
auth_query = SELECT rolname, '' FROM pg_roles WHERE rolname = $1
pool_mode = {pool_mode}
default_pool_size = {sessions}
server_idle_timeout = 2
max_client_conn = 500
{more}
"""


@contextmanager
def pgbouncer(server: str, folder: Path, *, pool_mode: str = "transaction", more: str = "") -> Iterator[str]:
    """Run PgBouncer in front of a server, whose roles it trusts; its URL, as the server's own role."""
    command = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if command is None:
        pytest.skip("pgbouncer is not installed: `make poolers` installs it")
    parameters = conninfo_to_dict(server)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    file = folder / "pgbouncer.ini"
    file.write_text(
        _CONFIGURATION.format(
            host=parameters["host"],
            user=parameters["user"],
            port=port,
            pool_mode=pool_mode,
            sessions=SESSIONS,
            more=more,
        )
    )
    # It does not run as root, and only the server's own user may enter the folder of its socket.
    as_owner = ["-u", Path(parameters["host"]).owner()] if os.geteuid() == 0 else []
    with (folder / "pgbouncer.log").open("w") as log:
        process = subprocess.Popen([command, *as_owner, str(file)], stdout=log, stderr=log)
    try:
        url = f"postgresql://{parameters['user']}@127.0.0.1:{port}/{parameters['dbname']}"
        _wait_for(url, process)
        yield url
    finally:
        process.kill()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
