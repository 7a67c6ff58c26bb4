"""The forms that the URL of a ledger may have, and what is wrong with one that has none of them.

Everything here looks at the text alone: no driver is loaded, and no database is asked. No message shows more of a
URL than its scheme, unless it is that of a file: what stands in the wrong place may be a password.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from os.path import expanduser
from typing import Final
from urllib.parse import quote, unquote

from ..errors import Unavailable

URL_FORMS: Final = "sqlite:///file.db, sqlite:////absolute/file.db or postgresql://user@host/database"

_SQLITE: Final = ("sqlite", "sqlite+pysqlite", "sqlite+aiosqlite")
_POSTGRES: Final = ("postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg_async")
_OTHER_DATABASES: Final = (
    "mysql", "mariadb", "oracle", "mssql", "mongodb", "mongodb+srv", "redis", "cockroachdb", "duckdb", "snowflake"
)  # fmt: skip
DEFAULT_SCHEMA: Final = "sagaledger"
"""The schema of a new ledger in PostgreSQL, unless its URL names another."""

_SCHEMA_BYTES_MAX: Final = 63
"""PostgreSQL cuts off what a longer name has more."""
_DSN: Final = re.compile(r"\s*[a-z_]+\s*=")
_DSN_PART: Final = re.compile(r"\s*(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s\\]|\\.)*)", re.DOTALL)
_WINDOWS_PATH: Final = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_NO_PATH: Final = re.compile(r"/\?\w+=")
_PORT: Final = re.compile(r"\d*")
_CLOSE: Final = 0.7
"""How much of a scheme must agree with a known one for it to be called a mistyped one, from 0 to 1."""


def sqlite_url(url: str) -> str | None:
    """Return a URL of a SQLite file as `sqlite:///PATH`; None for a URL of another database.

    A path that begins with `~/` or `~name/` is in that home folder, although no shell has expanded it.
    Raises `Unavailable` for one in memory, one whose file is on another machine, and a path of Windows.
    """
    scheme, separator, rest = url.partition("://")
    if scheme not in _SQLITE or not separator:
        return None
    if rest in ("", "/", "/:memory:", ":memory:") or _NO_PATH.match(rest):
        raise Unavailable(
            f"{url!r} is a database in memory, which ends with the process, and of which every connection sees another "
            "one: a ledger needs a file, such as sqlite:///ledger.db (in a test: one in a temporary folder); the forms "
            f"are {URL_FORMS}"
        )
    if not rest.startswith("/"):
        path = "ledger.db" if "@" in rest else rest  # there may be a password in it
        raise Unavailable(f"a SQLite URL names a file after three slashes: use sqlite:///{path}, or one of {URL_FORMS}")
    if _WINDOWS_PATH.match(rest[1:]):
        raise Unavailable(
            f"{url!r} is a path of Windows, and sagaledger runs on POSIX systems only: in WSL, C:\\ is /mnt/c/, "
            "so that it is sqlite:////mnt/c/…"
        )
    path = rest[1:]
    if path.startswith("~") and "/" in path:
        path = expanduser(path)  # noqa: PTH111  # it leaves alone what is no user's name
    return f"sqlite:///{path}"


def postgres_url(url: str) -> str | None:
    """Return a URL of PostgreSQL, or a connection string such as `service=ledger`, as its driver reads it.

    None for a URL of another database. SQLAlchemy's forms become those of the driver: its names for drivers, several
    `host=name:port`, and `+` for a space.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not re.fullmatch(r"\w[\w+.-]*", scheme):
        return url if _DSN.match(url) else None
    if scheme not in _POSTGRES:
        return None
    return url if "+" not in scheme else f"postgresql://{_of_sqlalchemy(rest)}"


def without_schema(url: str) -> tuple[str, str | None]:
    """Return a URL or connection string of PostgreSQL without the parameter `schema`, and the schema that it names.

    That parameter is not libpq's. Of several the last one counts. Raises `Unavailable` for what cannot be a schema.
    """
    found: list[str] = []
    base, mark, query = url.partition("?")
    if "://" in url.partition("=")[0]:
        parts = query.split("&") if mark else []
        found = [unquote(part.partition("=")[2]) for part in parts if part.startswith("schema=")]
        others = "&".join(part for part in parts if not part.startswith("schema="))
        rest = f"{base}?{others}" if others else base
    else:
        rest, end = "", 0
        for part in _DSN_PART.finditer(url):
            if part.start() != end:
                return url, None  # libpq says what is wrong with it
            end = part.end()
            if part[1] == "schema":
                found.append(re.sub(r"\\(.)", r"\1", part[2].strip("'")))
            else:
                rest += part[0]
        rest += url[end:]
    if not found:
        return url, None
    schema = found[-1]
    if not schema or schema == "$user" or not schema.isprintable() or len(schema.encode()) > _SCHEMA_BYTES_MAX:
        raise Unavailable(
            f"the PostgreSQL URL names the schema {schema[:80]!r}: a schema has a name of 1 to {_SCHEMA_BYTES_MAX} "
            f"bytes, such as ?schema={DEFAULT_SCHEMA}, which is also the default"
        )
    return rest, schema


def with_schema(url: str, schema: str) -> str:
    """Return a URL or connection string of PostgreSQL that names a schema."""
    rest, _ = without_schema(url)
    if "://" not in rest.partition("=")[0]:
        escaped = re.sub(r"(['\\])", r"\\\1", schema)
        return f"{rest} schema='{escaped}'"
    return f"{rest}{'&' if '?' in rest else '?'}schema={quote(schema, safe='')}"


def has_password_in_wrong_place(url: str) -> bool:
    """Return whether a URL of PostgreSQL looks as if it had a password with a character that ends it too early.

    The driver then takes a part of the password for a host, a port or the name of a database, all of which are shown.
    """
    _, separator, rest = url.partition("://")
    if not separator:
        return False
    location = re.split(r"[/?]", rest, maxsplit=1)[0]
    user, at, hosts = location.partition("@")
    hosts = hosts if at else user
    path = rest[len(location) :].partition("?")[0]
    if "@" in hosts.lstrip("@") or "@" in path:
        return True
    ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts.split(",")]
    return "@" in rest and not all(map(_PORT.fullmatch, ports))


def unknown(url: str) -> Unavailable:
    """Return the error of a URL that names no database which sagaledger knows, with what to write instead."""
    scheme, separator, _ = url.strip(" \t\r\n'\"").partition("://")
    if not separator:
        return Unavailable(f"{_without_scheme(url)}: use {URL_FORMS}")
    name = scheme.lower()
    if name.startswith(("postgresql+", "postgres+")):
        return Unavailable(
            f"sagaledger uses psycopg, and not the driver that {scheme!r} names: write postgresql:// or "
            "postgresql+psycopg:// before the rest of the URL"
        )
    if name in (*_SQLITE, *_POSTGRES):  # in capitals, or in quotes
        return Unavailable(f"write the URL without spaces, quotes and capitals before its ://, as {name}://…")
    close = [] if name in _OTHER_DATABASES else get_close_matches(name, (*_SQLITE, *_POSTGRES), n=1, cutoff=_CLOSE)
    meant = f" (did you mean {close[0]}://?)" if close else ""
    return Unavailable(f"sagaledger knows no database {scheme[:40] + '://'!r}{meant}: use {URL_FORMS}")


def _of_sqlalchemy(rest: str) -> str:
    """Return what follows `://` in a URL of SQLAlchemy, as libpq reads it."""
    location, mark, query = rest.partition("?")
    if not mark:
        return rest
    parts = query.replace("+", "%20").split("&")
    hosts = [unquote(part.partition("=")[2]) for part in parts if part.startswith("host=")]
    others = [part for part in parts if not part.startswith("host=")]
    if hosts:
        each = [host for given in hosts for host in given.split(",")]
        others.append("host=" + quote(",".join(_without_port(host) for host in each), safe="/,"))
        ports = [_port(host) for host in each]
        if any(ports):
            others.append("port=" + ",".join(ports))
    return f"{location}?{'&'.join(others)}"


def _port(host: str) -> str:
    """Return the port after a host; a host may be a path or, in brackets, an IPv6 address."""
    _, bracket, after = host.rpartition("]")
    if host.startswith("/") or (not bracket and host.count(":") > 1):
        return ""
    return after.partition(":")[2]


def _without_port(host: str) -> str:
    port = _port(host)
    return (host.removesuffix(f":{port}") if port else host).strip("[]")


def _without_scheme(url: str) -> str:
    if _WINDOWS_PATH.match(url):
        return (
            "the ledger's URL is a path of Windows, and sagaledger runs on POSIX systems only (in WSL, C:\\ is /mnt/c/)"
        )
    if url.startswith(":memory:"):
        return "':memory:' is a database in memory, and a ledger needs a file"
    scheme, colon, _ = url.partition(":")
    if colon and scheme in (*_SQLITE, *_POSTGRES):
        slashes = "three slashes" if scheme in _SQLITE else "two slashes"
        return f"the ledger's URL has too few slashes ({scheme}: is followed by {slashes})"
    if not url:
        return "the ledger's URL is empty"
    if "@" in url or ":" in url:  # there may be a password in it
        return "the ledger's URL has no scheme, such as postgresql://"
    return f"{url[:200]!r} is no URL (for a file, write sqlite:/// before its path)"
