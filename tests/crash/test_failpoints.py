"""Every exchange with the world outside has a failpoint: an I/O call without one fails here."""

from __future__ import annotations

import ast
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.postgres.connection import PostgresConnection
from sagaledger.infrastructure.event_store.sqlite.connection import SqliteConnection
from sagaledger.infrastructure.runtime import failpoints

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "projections", "infrastructure")

OPENS = {
    "sqlite3.connect", "sqlite3.Connection", "psycopg.connect", "psycopg.Connection.connect",
    "psycopg.AsyncConnection.connect", "ConnectionPool", "psycopg_pool.ConnectionPool", "create_engine",
    "sqlalchemy.create_engine", "create_async_engine", "os.open", "open", "io.open", "fcntl.flock", "fcntl.lockf",
    "socket.socket", "socket.create_connection", "HTTPConnection", "http.client.HTTPConnection", "urlopen",
    "urllib.request.urlopen", "subprocess.run", "subprocess.Popen", "nats.connect", "nats.aio.client.Client",
}  # fmt: skip
"""Calls that reach the world outside, by any of their names."""
METHODS = {"read_text", "read_bytes", "write_text", "write_bytes", "touch", "unlink", "rename", "mkdir"}
"""Methods of paths that do; so does `open` with a mode."""
MODES = {"r", "w", "a", "x", "rb", "wb", "ab", "xb", "r+b"}

WITH_FAILPOINT = {
    "infrastructure/event_store/sqlite/connection.py": {"sqlite3.connect"},
    "infrastructure/event_store/sqlite/worker_lock.py": {"os.open", "fcntl.flock", "socket.socket"},
    "infrastructure/event_store/sqlite/view_store.py": {"sqlalchemy.create_engine"},  # with connections from beside it
    "infrastructure/event_store/postgres/view_store.py": {"sqlalchemy.create_engine"},  # as above
    "infrastructure/eventsourcing/source.py": {"sqlalchemy.create_engine"},  # as above
    "infrastructure/choreography/nats/connection.py": {"nats.aio.client.Client"},  # not connected yet; see BROKER_CALLS
}
"""Modules whose calls have a failpoint, or make connections that have."""
WITHOUT_FAILPOINT = {
    "infrastructure/read_models/scratch_view.py": {"sqlite3.connect"},  # private, and gone with the process
    "infrastructure/event_store/sql_files.py": {"read_text"},  # the package's own SQL
    "infrastructure/event_store/sqlite/ledger_file.py": {"unlink"},  # of a new file's first name
    "infrastructure/event_store/sqlite/hard_links.py": {"read_text"},  # what Linux tells of locks
    "infrastructure/choreography/nats/address.py": {"read_text"},  # the files that a URL names
}
"""Modules that only read, or write what ends with the process."""
BROKER_PACKAGES = ("nats",)
BROKER_CALLS = {
    "start", "stop", "connect", "close", "drain", "flush", "publish", "publish_async", "request", "subscribe",
    "pull_subscribe", "pull_subscribe_bind", "fetch", "ack", "ack_sync", "nak", "term", "in_progress", "reject",
    "stream_info", "add_stream", "update_stream", "delete_stream", "purge_stream", "consumer_info", "add_consumer",
    "delete_consumer", "get_msg",
}  # fmt: skip
"""Methods that call a broker: each must be awaited by `failpoints.awaiting_failpoint`."""
USERS_FILES = ("infrastructure/cli/", "infrastructure/shop/", "infrastructure/testing/")
"""The command line and the shop read the user's files, and start workers as programs of their own; what tests use has
files of the test."""


def test_every_call_that_reaches_outside_has_a_failpoint() -> None:
    """A module that opens a connection, a file or a program has one for it, or a reason to need none."""
    strays = [
        f"{place}:{line} calls {name}: open it in one of {sorted(WITH_FAILPOINT)}, with a `failpoints.failpoint`"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for place in [path.relative_to(ROOT).as_posix()]
        if not place.startswith(USERS_FILES)
        for name, line in _calls_outside(path)
        if name not in WITH_FAILPOINT.get(place, set()) | WITHOUT_FAILPOINT.get(place, set())
    ]

    assert strays == []


def test_a_stray_call_is_found(tmp_path: Path) -> None:
    """The check itself knows a call by each of its names."""
    stray = tmp_path / "stray.py"
    stray.write_text(
        "import sqlite3 as s\nfrom psycopg import connect as c\ns.connect('x')\nc('y')\npath.write_text('z')\n"
    )

    assert [name for name, _ in _calls_outside(stray)] == ["sqlite3.connect", "psycopg.connect", "write_text"]


def test_nothing_is_asked_of_a_broker_but_through_the_boundary() -> None:
    """Where NATS is imported, whatever goes over the wire has its hook."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    strays = [
        f"{path.relative_to(ROOT)}:{line} calls {name}: await it by `failpoints.awaiting_failpoint`"
        for path in paths
        for name, line in _calls_to_a_broker(path)
    ]

    assert strays == []
    assert any(_knows_a_broker(ast.parse(path.read_text(encoding="utf-8"))) for path in paths)


def test_a_stray_call_to_a_broker_is_found(tmp_path: Path) -> None:
    """The check itself tells calls with a failpoint from those without, and ignores modules without a broker."""
    lines = (
        'await awaiting_failpoint("nats ack", message.ack())',
        "await message.nak()",
        'await js().stream_info("x")',
    )
    calls = "\n    ".join(lines)
    stray, other = tmp_path / "stray.py", tmp_path / "other.py"
    other.write_text(f"async def f():\n    {calls}")
    stray.write_text(f"async def f():\n    from nats.errors import Error\n    {calls}")

    assert [name for name, _ in _calls_to_a_broker(stray)] == ["nak", "stream_info"]
    assert list(_calls_to_a_broker(other)) == []


def test_every_connection_has_failpoints(url: str) -> None:
    """Those of the log and those of the views: the listener is called before and after each statement."""
    heard: list[tuple[str, bool]] = []
    backend = open_backend(url, create=True)
    failpoints.set_listener(lambda name, after: heard.append((name, after)))
    try:
        backend.head()
        of_the_log = len(heard)
        with backend.views.reading() as connection:
            driver = connection.connection.driver_connection
            connection.exec_driver_sql("SELECT 1")
    finally:
        failpoints.set_listener(None)
        backend.close()

    assert isinstance(driver, SqliteConnection | PostgresConnection)
    assert 2 <= of_the_log < len(heard)
    assert sum(1 for _, after in heard if after) == sum(1 for _, after in heard if not after)


def test_the_end_of_a_statement_that_fails_is_not_heard(sqlite_url: str) -> None:
    """As if the process had died in it."""
    heard: list[bool] = []
    backend = open_backend(sqlite_url, create=True)
    backend.close()
    failpoints.set_listener(lambda _name, after: heard.append(after))
    try:
        with pytest.raises((sqlite3.Error, psycopg.Error)):
            sqlite3.connect(":memory:", factory=SqliteConnection).execute("SELECT nonsense")
    finally:
        failpoints.set_listener(None)

    assert heard == [False]


def _calls_outside(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the calls in a file that reach outside, by the names that they have in the module that defines them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            aliases |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            first, _, rest = name.partition(".")
            known = f"{aliases[first]}.{rest}".rstrip(".") if first in aliases else name
            short = known.rpartition(".")[2]
            if known in OPENS or (isinstance(node.func, ast.Name) and short in OPENS):
                yield known if known in OPENS else short, node.lineno
            elif isinstance(node.func, ast.Attribute) and first not in aliases and _is_of_a_path(node.func.attr, node):
                yield node.func.attr, node.lineno


def _calls_to_a_broker(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the calls to a broker in a file that are not awaited by `awaiting_failpoint`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not _knows_a_broker(tree):
        return
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    hooked = {inner for call in calls if ast.unparse(call.func) == "awaiting_failpoint" for inner in ast.walk(call)}
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr in BROKER_CALLS and call not in hooked:
            yield call.func.attr, call.lineno


def _knows_a_broker(tree: ast.AST) -> bool:
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    imported += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    return any(name.partition(".")[0] in BROKER_PACKAGES for name in imported)


def _is_of_a_path(method: str, call: ast.Call) -> bool:
    mode = next((argument for argument in call.args if isinstance(argument, ast.Constant)), None)
    return method in METHODS or (method == "open" and mode is not None and str(mode.value) in MODES)
