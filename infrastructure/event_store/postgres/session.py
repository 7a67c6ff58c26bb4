"""The settings that a ledger relies on, whatever the role, the database, the environment or the URL say.

A session sets them once with `SET`, and not in the startup packet: a pooler such as PgBouncer refuses parameters there
that it does not know. A pooler may run each transaction of a client in another session of the server, which other
programs use too: behind one, every transaction sets them for itself with `SET LOCAL`, and nothing is prepared.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, NamedTuple

from psycopg import DataError, IsolationLevel, sql
from psycopg.abc import Buffer
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.datetime import TimestamptzBinaryLoader

from ...errors import PermanentlyUnavailable
from ..database_url import DEFAULT_SCHEMA
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
SET lock_timeout = '10s';
-- A rebuild or a verification takes as long as the log is, and folds between its statements.
SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
"""
# An append must see what was committed while it waited for the head's lock. The driver begins each transaction with the
# level that it needs; a statement outside of one has the session's.
_SETTINGS_OF_A_SESSION: Final = """
SET default_transaction_isolation = 'read committed';
SET default_transaction_deferrable = off;
"""
_NO_TRANSACTION_TIMEOUT: Final = "SET transaction_timeout = 0;\n"
_TRANSACTION_TIMEOUT_VERSION: Final = 17_00_00
# A weaker setting could lose an acknowledged append; a stronger one is the administrator's choice.
_DURABLE: Final = "SET synchronous_commit = on;\n"
_MORE_DURABLE: Final = "remote_apply"
_WRITABLE: Final = "SET default_transaction_read_only = off;\n"
_SEARCH_PATH: Final = sql.SQL("search_path = {}")
# Another client of a pooler may have left its own in this session.
_AS_THE_ROLE_HAS_IT: Final = "SET LOCAL search_path TO DEFAULT; SET LOCAL synchronous_commit TO DEFAULT"
_SEARCH_PATH_OPTION: Final = re.compile(r"(?:-c\s*|--)search[_-]path=((?:\\.|\S)*)", re.DOTALL)
_NEGATIVE: Final = 0x80
"""The first byte from which on a signed big-endian integer is negative."""


class _Server(NamedTuple):
    """What a server says of the session that it gives to a connection (see `sql/queries/about_the_session.sql`)."""

    process_id: int
    schema: str | None
    search_path: str
    synchronous_commit: str
    is_read_only_for_people: bool
    is_standby: bool


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

    Without a `schema` it is the one to which a search path in the URL leads, or None if that does not exist; otherwise
    the one to which the role's search path leads, if it has a ledger, and `DEFAULT_SCHEMA` if it has none.
    Raises `PermanentlyUnavailable` if the database cannot hold every character, or a pooler leads to another schema
    than the URL, and `psycopg.Error`.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise PermanentlyUnavailable(
            f"{place} stores text in the encoding {encoding}, which lacks characters that ids and errors may have: "
            "create a database with ENCODING 'UTF8' (CREATE DATABASE ledger TEMPLATE template0 ENCODING 'UTF8')"
        )
    connection.adapters.register_loader("timestamptz", BoundedTimestamptzLoader)
    # Set before the first SELECT: a standby takes no snapshot for a serializable transaction.
    connection.isolation_level = IsolationLevel.READ_COMMITTED
    with connection.transaction():
        connection.execute(_AS_THE_ROLE_HAS_IT)
        server = _Server(*connection.execute(SQL["about_the_session"]).fetchall()[0])
        wanted = _SEARCH_PATH_OPTION.findall(connection.info.options)
        if schema is None and wanted:
            _refuse_another_schema(wanted[-1], server, place)
            schema = server.schema
        elif schema is None:
            has_ledger = connection.execute(SQL["has_schema_version"], (server.schema,)).fetchone()
            schema = server.schema if has_ledger else DEFAULT_SCHEMA
    settings = _settings(connection.info.server_version, server)
    search_path = (
        "search_path TO DEFAULT"
        if schema is None
        else _SEARCH_PATH.format(sql.Identifier(schema)).as_string(connection)
    )
    # A pooler invents the process id that it tells a client.
    if server.process_id == connection.info.backend_pid:
        writable = _WRITABLE if server.is_read_only_for_people else ""
        connection.execute(_SETTINGS_OF_A_SESSION + writable + settings + "SET " + search_path)
    else:
        if server.is_read_only_for_people and not server.is_standby:
            connection.read_only = False
        connection.share_sessions(settings.replace("SET ", "SET LOCAL ") + "SET LOCAL " + search_path)
    return schema


def _settings(server_version: int, server: _Server) -> str:
    settings = _SETTINGS
    if server_version >= _TRANSACTION_TIMEOUT_VERSION:
        settings += _NO_TRANSACTION_TIMEOUT
    if server.synchronous_commit != _MORE_DURABLE:
        settings += _DURABLE
    return settings


def _refuse_another_schema(wanted: str, server: _Server, place: str) -> None:
    """Raise `PermanentlyUnavailable` if a pooler left out the search path in the URL or in PGOPTIONS."""
    if re.sub(r"\\(.)", r"\1", wanted) != server.search_path:
        raise PermanentlyUnavailable(
            f"the pooler of {place} leaves out the search_path in the URL's options: name the ledger's schema with "
            "?schema=NAME instead"
        )
