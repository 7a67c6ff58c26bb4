"""One endpoint of the API: what it takes, what it answers, and who may use it.

The list of all endpoints (`endpoints/`) is the only place that knows them: routing, the enforcement of roles, and the
OpenAPI document are made from it.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple, Protocol, TypeAlias

import msgspec
from msgspec import Meta, Struct

from ...domain.errors import InvalidInput
from ..ledger.context import LedgerContext
from ..ledger.pending_waits import PendingWaits
from .identity import Principal, Role
from .limits import BODY_BYTES_MAX, PAGE_ROWS, PAGE_ROWS_MAX, WAIT_SECONDS_MAX
from .log_tail import LogTail

INTEGER_MAX: Final = 2**63 - 1

Position: TypeAlias = Annotated[int, Meta(ge=0, le=INTEGER_MAX)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=WAIT_SECONDS_MAX)]
Limit: TypeAlias = Annotated[int, Meta(ge=1, le=PAGE_ROWS_MAX, description="The most items of a page.")]
StatedReason: TypeAlias = Annotated[str, Meta(min_length=1, max_length=10_000, description="Why; it stays on record.")]
PageCursor: TypeAlias = Annotated[str, Meta(description="The cursor that the page before ended with.")]


class NoQuery(Struct, forbid_unknown_fields=True):
    """No parameters."""


class WaitingQuery(Struct, forbid_unknown_fields=True, kw_only=True):
    """The parameters of every answer from a view."""

    wait_for: Annotated[
        Position | None, Meta(description="Answer only when the view has reached this position: reads your own writes.")
    ] = None
    timeout: Annotated[Seconds, Meta(description="How many seconds to wait for that.")] = 10.0


class PageQuery(WaitingQuery, kw_only=True):
    """The parameters of a page from a view."""

    limit: Limit = PAGE_ROWS
    after: PageCursor | None = None


class ApiDocument(Protocol):
    """The OpenAPI document."""

    def json(self, base: str) -> bytes:
        """Return it, for an API at this path."""
        ...

    def page(self, base: str) -> str:
        """Return it as a page."""
        ...


class ServerParts(NamedTuple):
    """What all requests of a server share, on its event loop."""

    waits: PendingWaits
    """Waiting for sagas and views."""
    tail: LogTail
    """The streams of events."""
    probe: Callable[[Callable[[], list[str]]], Awaitable[list[str]]]
    """Makes a call that tells whether the database answers, on a thread of its own."""
    checks: Sequence[Callable[[], str | None]]
    """What else the server needs to be ready: each returns what is wrong, or None."""
    document: ApiDocument
    read_only: bool
    metrics: Callable[[], bytes] | None
    """Returns the metrics in the text format of Prometheus; None if the server has none."""


class ApiRequest(NamedTuple):
    """A request that was let in, with all that it carries."""

    context: LedgerContext
    """The ledger; of a request that writes, on behalf of that request."""
    principal: Principal
    path: Mapping[str, str]
    """The parameters in the path, by name."""
    query: Any
    """An instance of the endpoint's query type."""
    body: Any
    """An instance of the endpoint's body type."""
    headers: Mapping[str, str]
    traceparent: str | None
    """The W3C trace context of the request."""
    base: str
    """The path at which the API is mounted, to begin links with."""
    server: ServerParts


class ApiAnswer(NamedTuple):
    """What an endpoint answers."""

    content: Any
    status: int | None = None
    """Another status than the endpoint's usual one."""
    location: Sequence[str] = ()
    """The path of what was created, below the API's, by its parts."""
    version: int | None = None
    """The version of the saga, for its ETag."""


Handle: TypeAlias = Callable[[ApiRequest], ApiAnswer | Awaitable[ApiAnswer]]
"""Answers a request: a function runs on a thread, a coroutine function on the event loop, where it must not block."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """One method of one path."""

    method: str
    path: str
    """Such as `/sagas/{saga_id}`, below the path of the API."""
    role: Role | None
    """Who may use it; None: anyone, also without an identity."""
    summary: str
    handle: Handle
    answer: Any
    """The type of what it answers."""
    content_type: str = "application/json"
    status: int = 200
    query: type[Struct] = NoQuery
    body: Any = None
    """The type of the body that it takes; None if it takes none."""
    body_bytes_max: int = BODY_BYTES_MAX
    views: Sequence[str] = ()
    """The views that it answers from, which `wait_for` waits for."""
    writes: bool = False
    """Whether it writes: it then needs an idempotency key, and a server that only reads refuses it."""
    slow: bool = False
    """Whether it may take seconds (if it takes an `at`, only with one): such requests are answered one by one."""
    versioned: bool = False
    """Whether it is about one saga's version: it has an ETag, or heeds If-Match if it writes."""
    problems: Sequence[int] = ()
    """Statuses of problems beyond those that every endpoint may answer with."""
    also: Sequence[int] = ()
    """Other statuses with which it answers the same."""

    @property
    def name(self) -> str:
        """Its name in the OpenAPI document, such as `post_sagas_cancel`."""
        parts = [part for part in self.path.replace(".", "/").split("/") if part and not part.startswith("{")]
        one = (self.path.endswith("}") and "_one") or ""
        return "_".join([self.method.lower(), *parts]) + one


def read_cursor(text: str | None) -> Any:
    """Return what a cursor says; None without one. Raises `InvalidInput` for a text that is no cursor."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text.encode("ascii") + b"=="))
    except (ValueError, RecursionError) as error:  # also one that is not ASCII, not base64, or not JSON
        raise InvalidInput(f"{text[:100]!r} is no cursor: pass the one that the page before ended with") from error


def write_cursor(value: Any) -> str:
    """Return the cursor that says a value."""
    return base64.urlsafe_b64encode(msgspec.json.encode(value, enc_hook=str)).rstrip(b"=").decode("ascii")
