"""What a program calls to have the API of a ledger, by itself or mounted in another program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from starlette.types import ASGIApp

from ..ledger.context import HasContext
from .application import Api, Middleware
from .identity import Authenticate
from .observing import RequestTelemetry


def asgi(
    ledger: HasContext,
    *,
    authenticate: Authenticate | None = None,
    read_only: bool = False,
    middleware: Sequence[Middleware] = (),
    pages: Mapping[str, ASGIApp] | None = None,
    checks: Sequence[Callable[[], str | None]] = (),
    telemetry: RequestTelemetry | None = None,
) -> Api:
    """Return the HTTP API of a ledger as an ASGI program: `app.mount("/ledger", sagaledger.asgi(ledger))`.

    - `authenticate`: returns the principal of a request; by default, programs of this machine alone may ask, and their
      principal is the user who runs this one;
    - `read_only`: whether requests that write are refused;
    - `middleware`: wraps the program; `scope["sagaledger.route"]` then has the declared path of the endpoint;
    - `pages`: further programs beside the API, by the first part of their path;
    - `checks`: what else must be right for `/readyz`; each returns what is wrong, or None;
    - `telemetry`: the `Telemetry` that the ledger was opened with: it records requests, and `/metrics` has its metrics.

    It neither runs a worker nor keeps the views up: a `Worker` does both.
    """
    return Api(
        ledger,
        authenticate=authenticate,
        read_only=read_only,
        middleware=middleware,
        pages=pages,
        checks=checks,
        telemetry=telemetry,
    )
