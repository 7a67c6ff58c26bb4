"""Open a ledger by its URL: the scheme chooses the backend."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..errors import Unavailable
from .backend import Backend
from .redaction import redacted

_URL_FORMS: Final = "sqlite:///file.db, sqlite:////absolute/file.db or postgresql://user@host/database"


def open_backend(url: str, *, create: bool = False, must_exist: bool = False) -> Backend:
    """Return the backend that holds the ledger at a URL.

    `create` creates or upgrades the schema (`sagaledger init`). A SQLite file that is absent or empty becomes a ledger,
    unless `must_exist` forbids that.
    Raises `NotALedger` for a database that holds something else or another version of the schema, `Unavailable` for one
    that cannot be reached, that is absent and must exist, or whose URL has no known form.
    """
    scheme, separator, rest = url.partition("://")
    match scheme:
        case "sqlite" if separator and rest.startswith("/") and len(rest) > 1:
            from .sqlite.ledger_file import LedgerFile  # noqa: PLC0415  # a command imports only its own backend's driver
            from .sqlite.store import SqliteStore  # noqa: PLC0415  # as above

            file = LedgerFile.of_url(url)
            return SqliteStore(file.path, url=url, create=create, must_exist=must_exist, read_only=file.read_only)
        case "postgresql" | "postgres" if separator:
            from .postgres.store import PostgresStore  # noqa: PLC0415  # as above

            return PostgresStore(url, create=create)
        case "sqlite":
            raise Unavailable(f"a SQLite URL names a file after three slashes, and {url!r} does not: use {_URL_FORMS}")
        case _:
            raise Unavailable(f"sagaledger knows no database {redacted(url)!r}: use {_URL_FORMS}")


def files_of(url: str) -> list[Path]:
    """Return the files of a ledger, whether they exist or not: none of a server's. Raises `Unavailable`."""
    if not url.startswith("sqlite://"):
        return []
    from .sqlite.ledger_file import LedgerFile  # noqa: PLC0415  # as above

    path = LedgerFile.of_url(url).path
    return [path, *(path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm", "-journal", "-worker"))]
