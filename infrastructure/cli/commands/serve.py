"""`serve`: the HTTP API of a ledger, with a worker beside it if that is wanted."""

from __future__ import annotations

import signal
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ...errors import AppPartMissing, Unavailable
from ...ledger.ledger import Ledger
from ...ledger.view_operations import create_views
from ...runtime.event_loop import run_async
from ..exit_codes import ExitCode
from ..log_options import DEFAULT_LOGS, LogOptions
from ..options import DEFAULTS, Options
from ..output.answer import say
from ..session import open_ledger, open_or_create, shown_database
from ..signals import StopRequest
from ..telemetry_options import NO_TELEMETRY, TelemetryOptions
from ..usage import UsageError

if TYPE_CHECKING:
    from ...telemetry.telemetry import Telemetry
    from ...worker.worker import Worker

PORT_MAX = 65_535


def serve(
    *,
    host: Annotated[str, Parameter(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="The port; 0 for any that is free.")] = 8420,
    worker: Annotated[bool, Parameter(negative="", help="Run a worker beside the API.")] = False,
    read_only: Annotated[bool, Parameter(negative="", help="Refuse every request that writes.")] = False,
    base_path: Annotated[str, Parameter(help="The path below which a proxy has the server, such as /sagas.")] = "",
    telemetry: TelemetryOptions = NO_TELEMETRY,
    logs: LogOptions = DEFAULT_LOGS,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Serve the HTTP API of the ledger until stopped, and keep its views up. /api/v1/docs shows what it understands.

    Without tokens it answers programs of this machine alone. On Ctrl-C or SIGTERM it finishes the requests under way.
    """
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise UsageError("serve needs the extra `serve`: install it with pip install 'sagaledger[serve]'")
    from ...api.identity import is_loopback

    if not 0 <= port <= PORT_MAX:
        raise UsageError(f"--port {port}: from 0 to {PORT_MAX:,}")
    if worker and read_only:
        raise UsageError("--worker writes, and --read-only refuses to: give one of them")
    if host != "localhost" and not is_loopback(host):
        raise UsageError(
            f"--host {host} lets other machines ask, and there are no tokens to tell who they are: listen on 127.0.0.1"
        )
    base = _checked(base_path)
    logs.apply("info" if worker else "warning")
    with telemetry.opened(always=True) as observer, _opened(options, observer, read_only=read_only) as ledger:
        if worker and not (ledger.app.definitions or ledger.app.services):
            raise AppPartMissing("a worker", "the sagas to drive (App(sagas=[…]))")
        if not read_only:
            _create_views(ledger)
        if observer is not None:
            observer.watch(ledger)
        with telemetry.served(observer, ledger):
            serving = _serve(ledger, observer, host, port, base, options, worker=worker, read_only=read_only)
            stopped_by = run_async(serving)
    return ExitCode.INTERRUPTED if stopped_by is signal.SIGINT else ExitCode.OK


def _opened(options: Options, observer: Telemetry | None, *, read_only: bool) -> Ledger:
    return open_ledger(options, observer=observer) if read_only else open_or_create(options, observer=observer)


async def _serve(
    ledger: Ledger,
    observer: Telemetry | None,
    host: str,
    port: int,
    base: str,
    options: Options,
    *,
    worker: bool,
    read_only: bool,
) -> signal.Signals | None:
    from ...api.asgi import asgi
    from ...api.server import listen, serve_until
    from ...worker.worker import Worker

    stop = StopRequest()
    listening = listen(host, port)
    address, actual = listening.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    working = Worker(ledger) if worker else None
    checks = [] if working is None else [partial(_worker_problem, working)]
    if observer is not None and working is not None:
        observer.watch_worker(working)
    api = asgi(ledger, read_only=read_only, checks=checks, telemetry=observer)
    say(f"serving {shown_database(options)} at http://{shown}:{actual}{base}/api/v1 to this machine; Ctrl-C stops")
    await serve_until(stop.event, api, listening, worker=working, base_path=base, projects=not (worker or read_only))
    say("stopped: every request that was under way is answered")
    return stop.signal


def _create_views(ledger: Ledger) -> None:
    """Create the views that are missing, so that they can be listed before a worker runs."""
    try:
        create_views(ledger.context)
    except Unavailable as error:
        say(f"the tables of the views could not be created: {error}")


def _worker_problem(worker: Worker) -> str | None:
    """Say what keeps the worker beside the API from its work; None if nothing does."""
    health = worker.health()
    return None if health.ready else f"the worker is {health.state}" + (f": {health.error}" if health.error else "")


def _checked(base_path: str) -> str:
    """Return the path with a `/` before it and none after it. Raises `UsageError` for one that cannot be told apart."""
    parts = [part for part in base_path.split("/") if part]
    if any(not part.isascii() or not part.isprintable() or set(part) & set("%?# ") for part in parts):
        raise UsageError(f"--base-path {base_path!r}: use letters, digits, - and _ between the slashes")
    if parts and parts[0] in ("api", "livez", "readyz"):
        raise UsageError(f"--base-path {base_path!r} begins as the API's own paths do: use another one")
    return "".join(f"/{part}" for part in parts)
