"""URLs and connection strings without what is secret in them, for every message, log line and remedy."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from ..errors import Unavailable
from .database_url import has_password_in_wrong_place, postgres_url, without_schema

HIDDEN: Final = "***"

_ALSO_SECRET: Final = frozenset({b"passfile", b"scram_client_key", b"scram_server_key"})
"""What the driver does not mark as a password, and what leads to one or stands for one."""
_SQLITE_FILE: Final = re.compile(r"sqlite(\+\w+)?:///")
_LIBPQ: Final = re.compile(r"postgres(ql)?:|(?!\w[\w+.-]*://)[^:]*=")
_AUTHORITY: Final = re.compile(r"(?<=://)[^/?#\s]*@[^/?#\s]*")
_LAST_USER_INFO: Final = re.compile(r"(?:(?<=^)|(?<=,)|(?<=://))[^,]*@")
_SECRET_PAIR: Final = re.compile(
    r"(?i)(?<![\w-])(?=[\w-]*?(?:pass|secret|token|key))([\w-]++\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]*)"
)
"""The name is looked at once for each word, so that a long text takes no longer than its length."""


def redacted(url: str) -> str:
    """Return a URL or a libpq connection string with every secret replaced; without secrets it stays as it is."""
    if _SQLITE_FILE.match(url):
        return url
    read = url if _LIBPQ.match(url) else postgres_url(url)
    if read is None:
        return _redacted_text(url)
    found = None if has_password_in_wrong_place(read) else _parse(read)
    if found is None:
        scheme = url.partition("://")[0] if "://" in url.partition("=")[0] else "postgresql"
        return f"{scheme}://{HIDDEN}"
    parameters, secrets = found
    if not secrets:
        return url
    return _as_url({name: HIDDEN if name in secrets else value for name, value in parameters.items()})


def has_secret(url: str) -> bool:
    """Return whether a URL has to be redacted before it is shown."""
    return redacted(url) != url


def _parse(url: str) -> tuple[dict[str, str], set[str]] | None:
    """Return the parameters that are read, and the names of the secret ones; None if the URL cannot be read."""
    from psycopg import OperationalError  # noqa: PLC0415  # a command on a SQLite file does not load the driver
    from psycopg.pq import Conninfo  # noqa: PLC0415  # as above

    try:
        for_the_driver, schema = without_schema(url)
        options = [option for option in Conninfo.parse(for_the_driver.encode()) if option.val is not None]
    except (OperationalError, Unavailable, UnicodeError):
        return None
    secret = {o.keyword.decode() for o in options if o.dispchar == b"*" or o.keyword in _ALSO_SECRET}
    found = {o.keyword.decode(): (o.val or b"").decode("utf-8", "replace") for o in options}
    return found | ({} if schema is None else {"schema": schema}), secret


def _as_url(parameters: dict[str, str]) -> str:
    """Return the URL of these parameters. What cannot stand before its query, such as a list of hosts, stands in it."""
    rest = dict(parameters)
    user, password = rest.pop("user", ""), rest.pop("password", None)
    host, port = rest.get("host", ""), rest.get("port", "")
    authority = quote(user, safe="") + ("" if password is None else f":{HIDDEN}")
    if authority:
        authority += "@"
    if host and not re.search(r"[,/:]", host + port):
        authority += host + (f":{port}" if port else "")
        rest.pop("host"), rest.pop("port", None)
    path = quote(rest.pop("dbname", ""), safe="")
    query = "&".join(f"{name}={quote(value, safe='/,*')}" for name, value in rest.items())
    return f"postgresql://{authority}/{path}" + (f"?{query}" if query else "")


def _redacted_text(url: str) -> str:
    """Return a text without the user information of its URLs, and without values that are named like secrets."""
    hidden = _AUTHORITY.sub(lambda found: _LAST_USER_INFO.sub(f"{HIDDEN}@", found[0]), url)
    if hidden == url and "@" in url:  # a password with a character that ends it too early, or a URL without a scheme
        scheme, separator, rest = url.rpartition("://")
        hidden = f"{scheme}{separator}{HIDDEN}@{rest.rpartition('@')[2]}"
    return _SECRET_PAIR.sub(rf"\g<1>{HIDDEN}", hidden)
