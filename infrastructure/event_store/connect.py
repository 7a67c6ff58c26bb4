"""Open a ledger by its URL: the scheme chooses the backend."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from ..errors import NotSupported
from .backend import Backend
from .database_url import postgres_url, sqlite_url, unknown

_NO_POSIX: Final = ("emscripten", "wasi")
"""Platforms that call themselves POSIX systems, and have neither processes nor signals."""


def open_backend(url: str, *, create: bool = False, must_exist: bool = False) -> Backend:
    """Return the backend that holds the ledger at a URL.

    `create` creates or upgrades the schema (`sagaledger init`). A SQLite file that is absent or empty becomes a ledger,
    unless `must_exist` forbids that.
    Raises `NotSupported` where there is no POSIX system, `NotALedger` for a database that holds something else or
    another version of the schema, `Unavailable` for one that cannot be reached, that is absent and must exist, or whose
    URL has no known form (see `database_url`).
    """
    require_posix()
    if (path_url := sqlite_url(url)) is not None:
        from .sqlite.ledger_file import LedgerFile  # noqa: PLC0415  # a command imports only its own backend's driver
        from .sqlite.store import SqliteStore  # noqa: PLC0415  # as above

        file = LedgerFile.of_url(path_url)
        return SqliteStore(file.path, url=path_url, create=create, must_exist=must_exist, read_only=file.read_only)
    if (server_url := postgres_url(url)) is not None:
        from .postgres.store import PostgresStore  # noqa: PLC0415  # as above

        return PostgresStore(server_url, create=create)
    raise unknown(url)


def files_of(url: str) -> list[Path]:
    """Return the files of a ledger, whether they exist or not: none of a server's. Raises `Unavailable`."""
    path_url = sqlite_url(url)
    if path_url is None:
        return []
    from .sqlite.ledger_file import LedgerFile  # noqa: PLC0415  # as above

    path = LedgerFile.of_url(path_url).path
    return [path, *(path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm", "-journal", "-worker"))]


def require_posix() -> None:
    """Raise `NotSupported` where there is no POSIX system, which no part of sagaledger is tested without."""
    if os.name != "posix" or sys.platform in _NO_POSIX:
        raise NotSupported(
            f"sagaledger runs on POSIX systems (Linux, macOS), and this is {sys.platform}: it relies on their file "
            "locks, which admit one worker to a SQLite file, and on their forks and signals. On Windows, run it in WSL "
            "or in a container"
        )
