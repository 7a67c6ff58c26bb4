"""Who asks: a principal with a role, and what each role may do.

An authenticator turns a connection into a principal. The one of this module serves a machine of one's own: it takes
requests of this machine alone, and their principal is the user of the server, who may do everything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from starlette.requests import HTTPConnection

from ...domain.errors import SagaledgerError
from ..runtime.user_name import user_name


class Role(StrEnum):
    """What a principal may do."""

    VIEWER = "viewer"
    """Read."""
    AUDITOR = "auditor"
    """Read everything, also events as they are stored."""
    OPERATOR = "operator"
    """Read, start sagas, and decide about them."""
    ADMIN = "admin"
    """Everything."""

    def allows(self, needed: Role) -> bool:
        """Whether this role may do what needs that one."""
        return needed in _INCLUDED[self]


_INCLUDED: Final = {
    Role.VIEWER: {Role.VIEWER},
    Role.AUDITOR: {Role.VIEWER, Role.AUDITOR},
    Role.OPERATOR: {Role.VIEWER, Role.OPERATOR},
    Role.ADMIN: set(Role),
}


class Principal(NamedTuple):
    """A person or a program that makes requests. Its name is the actor on record of everything that it does."""

    name: str
    role: Role


class Unauthenticated(SagaledgerError):
    """The request does not say who asks, or not in a way that can be believed."""


class Forbidden(SagaledgerError):
    """The principal may not do this."""


Authenticate: TypeAlias = Callable[[HTTPConnection], Principal | Awaitable[Principal]]
"""Returns who makes a request. Raises `Unauthenticated`, and `Forbidden` for one that may do nothing at all here.

It runs on the event loop, so one that has to look something up is a coroutine function.
"""

_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_LOCAL_NAMES: Final = ("localhost", "ip6-localhost")


class LoopbackOnly:
    """Takes requests from programs of this machine, each as the user of the server with the role admin.

    Refuses what comes through a proxy, because that may pass on requests from anywhere, and what a page of another
    site makes a browser send: it names another host, or another origin.
    """

    def __init__(self) -> None:
        self._principal = Principal(user_name(), Role.ADMIN)

    def __call__(self, connection: HTTPConnection) -> Principal:
        headers = connection.headers
        host = connection.url.hostname or ""
        if connection.client is None or not is_loopback(connection.client.host):
            raise Unauthenticated("this server has no tokens, and so answers programs on its own machine only")
        if any(name in headers for name in _FORWARDED):
            raise Unauthenticated(
                "this server has no tokens, and so answers nothing that a proxy passes on: the proxy may pass on "
                "requests from anywhere"
            )
        if not (is_loopback(host) or host in _LOCAL_NAMES):
            raise Unauthenticated(
                f"this server has no tokens, and so answers requests to 127.0.0.1 or localhost only, not to {host!r}"
            )
        origin = headers.get("origin")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") or origin not in (None, _origin(connection)):
            raise Forbidden("a page of another site made this request: this server answers pages of its own only")
        return self._principal


def is_loopback(host: str) -> bool:
    """Whether a host is an address of this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _origin(connection: HTTPConnection) -> str:
    return f"{connection.url.scheme}://{connection.url.netloc}"
