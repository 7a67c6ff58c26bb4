"""The session settings that a ledger relies on, whatever the role, the database, the environment or the URL say.

They are set with `SET` when a connection is made, and not in the startup packet: a pooler such as PgBouncer refuses the
parameters there that it does not know. Only `client_encoding` is in both, as psycopg encodes by it from the start.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from psycopg import DataError, IsolationLevel, sql
from psycopg.abc import Buffer
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.datetime import TimestamptzBinaryLoader

from ...errors import PermanentlyUnavailable
from ..sql_files import queries
from ..start_requests import UNBOUNDED
from .connection import PostgresConnection

SQL: Final = queries("postgres")

_CONNECTION_DEFAULTS: Final = {
    # The loss of a server that no longer answers is noticed within seconds, not hours.
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "fallback_application_name": "sagaledger",
}
_SETTINGS: Final = """
SET client_encoding = 'UTF8';
SET datestyle = ISO, YMD;
SET intervalstyle = postgres;
SET timezone = 'UTC';
SET bytea_output = hex;
SET extra_float_digits = 1;
SET standard_conforming_strings = on;
SET array_nulls = on;
-- An append must see what was committed while it waited for the head's lock.
SET default_transaction_isolation = 'read committed';
SET default_transaction_deferrable = off;
SET lock_timeout = '10s';
-- A rebuild or a verification takes as long as the log is, and folds between its statements.
SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
"""
_NO_TRANSACTION_TIMEOUT: Final = "SET transaction_timeout = 0"
_TRANSACTION_TIMEOUT_VERSION: Final = 17_00_00

# A weaker setting could lose an acknowledged append; a stronger one is the administrator's choice.
_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', "
    "CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)"
)
# What a role or a database sets is a default for people. In the server's own configuration it fences off a demoted
# primary or a full disk, and stays.
_WRITABLE: Final = (
    "SELECT set_config('default_transaction_read_only', 'off', false) FROM pg_catalog.pg_settings "
    "WHERE name = 'default_transaction_read_only' AND source NOT IN ('configuration file', 'command line')"
)
_NEGATIVE: Final = 0x80
"""The first byte from which on a signed big-endian integer is negative."""
_SEARCH_PATH: Final = "SELECT set_config('search_path', %s, false)"


class BoundedTimestamptzLoader(TimestamptzBinaryLoader):
    """Loads a time that Python cannot hold as that of `UNBOUNDED` on its side: one bad row must not hide the rest."""

    def load(self, data: Buffer) -> datetime:
        try:
            return super().load(data)
        except DataError:
            return UNBOUNDED[bytes(data)[0] < _NEGATIVE]


def connection_parameters(url: str) -> str:
    """Return a URL as the driver's connection string, with the parameters that the ledger relies on.

    Raises `psycopg.Error` for a URL that cannot be read.
    """
    given = conninfo_to_dict(url)
    defaults = {name: value for name, value in _CONNECTION_DEFAULTS.items() if name not in given}
    return make_conninfo(url, **defaults, client_encoding="UTF8")


def prepare_session(connection: PostgresConnection, *, schema: str | None, place: str) -> str | None:
    """Set what the ledger relies on, and lead the session to the ledger's schema, which is returned.

    Without a `schema` it is the one that the URL or the role leads to; None if that does not exist.
    Raises `PermanentlyUnavailable` if the database cannot hold every character, and `psycopg.Error`.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise PermanentlyUnavailable(
            f"{place} stores text in the encoding {encoding}, which lacks characters that ids and errors may have: "
            "create a database with ENCODING 'UTF8' (CREATE DATABASE ledger TEMPLATE template0 ENCODING 'UTF8')"
        )
    connection.adapters.register_loader("timestamptz", BoundedTimestamptzLoader)
    connection.isolation_level = IsolationLevel.READ_COMMITTED
    # No SELECT before this: it would take a snapshot, which a serializable default forbids on a standby.
    connection.execute(_SETTINGS)
    if connection.info.server_version >= _TRANSACTION_TIMEOUT_VERSION:
        connection.execute(_NO_TRANSACTION_TIMEOUT)
    if connection.info.parameter_status("default_transaction_read_only") != "off":
        connection.execute(_WRITABLE)
    connection.execute(_DURABLE)
    schema = schema or connection.execute(SQL["current_schema"]).fetchall()[0][0]
    if schema is not None:
        connection.execute(_SEARCH_PATH, (sql.Identifier(schema).as_string(connection),))
    return schema
