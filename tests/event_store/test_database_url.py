"""The forms of a ledger's URL: what each opens, and what the error of any other says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sagaledger.infrastructure.cli.options import Options
from sagaledger.infrastructure.errors import NotSupported, Unavailable
from sagaledger.infrastructure.event_store.connect import files_of, open_backend
from sagaledger.infrastructure.event_store.database_url import postgres_url, sqlite_url, with_schema, without_schema
from sagaledger.infrastructure.event_store.redaction import redacted

FORMS = "or postgresql://user@host/database"


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("postgresql://ann@host:5433/db?sslmode=require", "host=host port=5433 user=ann dbname=db sslmode=require"),
        ("postgres://ann@host/db", "host=host user=ann dbname=db"),
        ("postgresql+psycopg://ann:ge%40heim@host/db", "host=host user=ann password=ge@heim dbname=db"),
        ("postgresql+psycopg_async://ann@host/db", "host=host user=ann dbname=db"),
        ("postgresql+psycopg://host/db?options=-c+search_path%3Da", "host=host dbname=db options='-c search_path=a'"),
        ("postgresql+psycopg://ann@/db?host=one:5432&host=two:5433", "host=one,two port=5432,5433 user=ann dbname=db"),
        ("postgresql+psycopg://ann@/db?host=one&host=two", "host=one,two user=ann dbname=db"),
        ("postgresql+psycopg:///db?host=one,two&port=1,2", "host=one,two port=1,2 dbname=db"),
        ("postgresql+psycopg:///db?host=[::1]:5432&host=two", "host=::1,two port=5432, dbname=db"),
        ("postgresql+psycopg:///db?host=/run/postgresql", "host=/run/postgresql dbname=db"),
        ("postgresql://one:5432,two:5433/db?target_session_attrs=read-write",
         "host=one,two port=5432,5433 dbname=db target_session_attrs=read-write"),
        ("postgresql://%2Frun%2Fpostgresql/db", "host=/run/postgresql dbname=db"),
        ("postgresql:///db?application_name=a%40b&user=ann@corp", "dbname=db application_name=a@b user=ann@corp"),
        ("postgresql://ann@[::1]:5433/db", "host=::1 port=5433 user=ann dbname=db"),
        ("service=ledger", "service=ledger"),
        ("postgresql:///?service=ledger", "service=ledger"),
        (" host = 'host' dbname = db", "host=host dbname=db"),
    ],
)  # fmt: skip
def test_a_url_of_postgresql_is_read_as_its_driver_reads_it(url: str, read: str) -> None:
    """SQLAlchemy's forms, too; and what is shown of it leads to the same database."""
    assert sqlite_url(url) is None
    assert conninfo_to_dict(postgres_url(url) or "") == conninfo_to_dict(read)
    if "password" not in read:
        assert redacted(url) == url


@pytest.mark.parametrize(
    ("url", "rest", "schema"),
    [
        ("postgresql://ann@host/db", "postgresql://ann@host/db", None),
        ("postgresql://ann@host/db?schema=shop", "postgresql://ann@host/db", "shop"),
        ("postgresql://host/db?sslmode=require&schema=my%20shop&options=-cx%3Dy",
         "postgresql://host/db?sslmode=require&options=-cx%3Dy", "my shop"),
        ("postgresql:///?service=ledger&schema=Shop", "postgresql:///?service=ledger", "Shop"),
        ("service=ledger schema=shop", "service=ledger", "shop"),
        (r"schema='my \' shop' host=one password='a schema=b'", "host=one password='a schema=b'", "my ' shop"),
    ],
)  # fmt: skip
def test_a_url_may_name_the_schema(url: str, rest: str, schema: str | None) -> None:
    """The driver does not know that parameter; what is shown of the URL has it."""
    assert (without_schema(url)[0].strip(), without_schema(url)[1]) == (rest, schema)
    assert ("schema=" in redacted(url)) == ("schema=" in url)
    assert "schema=b" not in redacted(url)
    assert without_schema(with_schema(url, "an'other\\ one"))[1] == "an'other\\ one"


@pytest.mark.parametrize("name", ["", "$user", "x" * 64, "a%00b"])
def test_what_cannot_be_a_schema_is_refused(name: str) -> None:
    """PostgreSQL would cut a long name off, and take `$user` for the role's name."""
    with pytest.raises(Unavailable, match=r"schema .*1 to 63 bytes"):
        open_backend(f"postgresql://ann@127.0.0.1:1/db?schema={name}")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///ledger.db", "ledger.db"),
        ("sqlite:////srv/ledger.db", "/srv/ledger.db"),
        ("sqlite+pysqlite:///ledger.db", "ledger.db"),
        ("sqlite:///a b%20c@d:e.db?mode=ro", "a b%20c@d:e.db?mode=ro"),
        ("sqlite:///~/ledger.db", "/home/ann/ledger.db"),
        ("sqlite:///~ledger.db", "~ledger.db"),
        ("sqlite:///b/~/ledger.db", "b/~/ledger.db"),
    ],
)
def test_a_url_of_a_file_names_its_path(monkeypatch: pytest.MonkeyPatch, url: str, path: str) -> None:
    """It is not percent-decoded; `~` is the home folder, which no shell expands behind `sqlite:///`."""
    monkeypatch.setenv("HOME", "/home/ann")

    assert sqlite_url(url) == f"sqlite:///{path}"


def test_a_path_in_the_home_folder_is_opened_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its files are those."""
    monkeypatch.setenv("HOME", str(tmp_path))
    open_backend("sqlite+pysqlite:///~/ledger.db").close()

    assert (tmp_path / "ledger.db").stat().st_size > 0
    assert files_of("sqlite:///~/ledger.db")[0] == (tmp_path / "ledger.db").resolve()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite://", "in memory.*every connection sees another one: a ledger needs a file"),
        ("sqlite:///", "in memory.*a ledger needs a file"),
        ("sqlite:///:memory:", "in memory.*a ledger needs a file"),
        (":memory:", "in memory, and a ledger needs a file"),
        ("sqlite:///?mode=memory", "in memory.*a ledger needs a file"),
        ("sqlite://ledger.db", "three slashes: use sqlite:///ledger.db"),
        ("sqlite://ann:geheim@host/db", "three slashes: use sqlite:///ledger.db"),
        ("sqlite:ledger.db", r"too few slashes \(sqlite: is followed by three slashes\): use "),
        ("sqlite:/ledger.db", "too few slashes"),
        ("postgresql:/ann:geheim@host/db", r"too few slashes \(postgresql: is followed by two slashes\): use "),
        (r"sqlite:///C:\ledger.db", "a path of Windows.*in WSL"),
        ("sqlite:///C:/ledger.db", "a path of Windows"),
        (r"sqlite:///\\server\share\ledger.db", "a path of Windows"),
        (r"C:\ledger.db", "a path of Windows"),
        ("./ledger.db", r"'\./ledger\.db' is no URL \(for a file, write sqlite:/// before its path\)"),
        ("", "is empty"),
        ("ann:geheim@host/db", "has no scheme"),
        ("mysql://ann:geheim@host/db", r"knows no database 'mysql://': use"),
        ("postgresqI://ann:ge/heim@host/db", r"'postgresqI://' \(did you mean postgresql://\?\)"),
        ("postgre://ann:geheim@host/db", r"did you mean postgres(ql)?://"),
        ("sqlite3:///ledger.db", "did you mean sqlite://"),
        ("sqllite:///ledger.db", "did you mean sqlite://"),
        ("'sqlite:///ledger.db'", "without spaces, quotes and capitals.*as sqlite://"),
        ("PostgreSQL://ann:geheim@host/db", "as postgresql://"),
        ("postgresql+asyncpg://ann:geheim@host/db", "uses psycopg, and not the driver that 'postgresql.asyncpg' names"),
        ("postgresql+psycopg2://ann:geheim@host/db", "uses psycopg"),
        ("postgresql://ann:geheim@host/db?ssl=true&nonsense=1", "has the parameter '(ssl|nonsense)', which libpq"),
        ("postgresql://host/db?ge?heim@host/db", "percent|codes"),
        ("postgresql://ann:ge/heim@host/db", "%2F"),
        ("postgresql://ann:12/heim@host/db", "%2F"),
        ("postgresql+psycopg://ann:ge/heim@host/db", "%2F"),
        ("postgresql://ann:ge@heim@host/db", "%40"),
        ("postgresql://ann:ge?heim@host/db", "%3F"),
        ("postgresql://ann:ge%heim@host/db", "%25"),
        ("host=host nonsense=geheim", "cannot be read|which libpq does not know"),
        ("ledger = geheim", "which libpq does not know"),
    ],
)
def test_any_other_url_is_refused_with_the_remedy(url: str, reason: str) -> None:
    """And whatever stands in it where a password may stand is not shown: not here, nor by the command line."""
    with pytest.raises(Unavailable, match=reason) as raised:
        open_backend(url)

    assert "heim" not in str(raised.value)
    assert "heim" not in redacted(url)
    assert "heim" not in Options(db=url).again("list")


def test_each_form_opens_the_same_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    """A connection string, a service, SQLAlchemy's URL, and several hosts, of which the first does not answer."""
    open_backend(postgres_url, create=True).close()
    found = {name: str(value) for name, value in conninfo_to_dict(postgres_url).items()}
    socket, options = found["host"], found["options"]
    service = tmp_path / "services.conf"
    service.write_text("[ledger]\n" + "".join(f"{name}={value}\n" for name, value in found.items()))
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    query = f"options={options.replace('=', '%3D')}&connect_timeout=5"
    forms = {
        "DSN": make_conninfo(**found),
        "service": "service=ledger",
        "service in a URL": "postgresql:///?service=ledger&application_name=accounts",
        "SQLAlchemy": f"postgresql+psycopg://postgres@/postgres?host={socket}&{query}",
        "hosts": f"postgresql://postgres@/postgres?host=127.0.0.1,{socket}&port=1,5432&{query}",
        "hosts of SQLAlchemy": f"postgresql+psycopg://postgres@/postgres?host=127.0.0.1:1&host={socket}&{query}",
    }

    for name, form in forms.items():
        backend = open_backend(form)
        assert backend.head().position == 0, name
        backend.close()


def test_a_service_is_named_in_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name: what its file says of it is libpq's to read, and may be a password."""
    service = tmp_path / "services.conf"
    service.write_text("[ledger]\nhost=127.0.0.1\nport=1\nuser=ann\npassword=geheim\n")
    monkeypatch.setenv("PGSERVICEFILE", str(service))

    with pytest.raises(Unavailable, match="the database of service 'ledger' cannot be reached") as raised:
        open_backend("service=ledger")
    with pytest.raises(Unavailable, match='definition of service "absent" not found'):
        open_backend("service=absent")

    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize(("name", "platform"), [("nt", "win32"), ("posix", "emscripten")])
def test_what_is_no_posix_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, platform: str
) -> None:
    """Before anything is imported that only such a system has, and whatever the URL."""
    with monkeypatch.context() as system:
        system.setattr(os, "name", name)
        system.setattr(sys, "platform", platform)
        for url in (f"sqlite:///{tmp_path}/ledger.db", "postgresql://127.0.0.1:1/db"):
            with pytest.raises(NotSupported, match=rf"POSIX systems \(Linux, macOS\), and this is {platform}: .*WSL"):
                open_backend(url)

    assert list(tmp_path.iterdir()) == []


def test_the_package_is_imported_without_what_only_posix_has() -> None:
    """Otherwise an `ImportError` of fcntl would come before the reason."""
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('fcntl', 'pwd', 'grp', 'termios', 'resource', 'uvloop')))\n"
        "import os; del os.register_at_fork, os.fork, os.getuid\n"
        "import signal; del signal.SIGHUP, signal.SIGKILL\n"
        "import sagaledger; [getattr(sagaledger, name) for name in sagaledger.__all__]\n"
        "import sagaledger.infrastructure.cli.main\n"
        "os.name = 'nt'\n"
        "try: sagaledger.Ledger.open('sqlite:///x.db')\n"
        "except sagaledger.NotSupported as error: print(error)\n"
    )

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "POSIX systems" in ran.stdout
