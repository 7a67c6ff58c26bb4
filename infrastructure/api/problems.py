"""Errors as problem documents (RFC 9457): what is wrong, where, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ...domain import errors as domain
from ...domain.participant import Refused
from ...domain.user_code import shown
from .. import errors as edge
from ..event_store.codec import UnreadableEvent
from .identity import Forbidden, Unauthenticated
from .limits import RETRY_AFTER_SECONDS

PROBLEM_TYPES: Final = "urn:sagaledger:problem:"
CONTENT_TYPE: Final = "application/problem+json"

_log = logging.getLogger(__name__)


class ProblemDocument(Struct, omit_defaults=True):
    """Why a request was not done (RFC 9457)."""

    type: str
    """A stable name of the kind of problem."""
    title: str
    status: int
    detail: str
    """What is wrong with this request."""
    remedy: str | UnsetType = UNSET
    """What to do about it."""
    saga_id: str | UnsetType = UNSET
    position: int | UnsetType = UNSET
    """Where in the log the reason stands."""


class ProblemKind(NamedTuple):
    """A kind of problem."""

    status: int
    name: str
    title: str
    remedy: str | None = None


class RequestRefused(domain.SagaledgerError):
    """The request itself cannot be answered, whatever the ledger holds."""

    def __init__(self, kind: ProblemKind, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.headers = dict(headers or {})


BAD_REQUEST = ProblemKind(400, "bad-request", "The request is malformed")
KEY_MISSING = ProblemKind(
    400,
    "idempotency-key-missing",
    "The request has no idempotency key",
    "send the header Idempotency-Key with a value of your own, such as a UUID, and the same one when you repeat it",
)
NO_SUCH_PATH = ProblemKind(404, "no-such-path", "There is nothing at this path", "/api/v1/openapi.json lists the paths")
NOT_FOUND = ProblemKind(404, "not-found", "There is no such thing")
METHOD_NOT_ALLOWED = ProblemKind(405, "method-not-allowed", "The path does not take this method")
BODY_TIMEOUT = ProblemKind(408, "body-timeout", "The body did not arrive in time")
STILL_RUNNING = ProblemKind(
    409, "request-running", "The same request is being answered", "wait for its answer, or repeat it a little later"
)
BODY_TOO_LARGE = ProblemKind(413, "body-too-large", "The body is too large")
QUERY_TOO_LONG = ProblemKind(414, "query-too-long", "The path or the query is too long")
NOT_JSON = ProblemKind(415, "not-json", "The body is not of the type application/json")
INVALID = ProblemKind(422, "invalid-input", "The request does not fit what is declared")
BUSY = ProblemKind(503, "busy", "The server has too many requests at once", "repeat the request a little later")
READ_ONLY = ProblemKind(403, "read-only", "This server only reads", "ask a server that was started without --read-only")
INTERNAL = ProblemKind(500, "internal-error", "There is a fault in the server", "the server's log has the reason")
TIMED_OUT = ProblemKind(504, "timed-out", "It did not happen in time", "it may still happen: ask again")

KINDS: Final[Mapping[type[domain.SagaledgerError], ProblemKind]] = {
    Unauthenticated: ProblemKind(401, "unauthenticated", "The server does not know who asks"),
    Forbidden: ProblemKind(403, "forbidden", "The principal may not do this"),
    domain.InvalidInput: INVALID,
    domain.NotSerialisable: ProblemKind(422, "not-serialisable", "A value cannot be written as JSON"),
    domain.PayloadTooLarge: ProblemKind(413, "payload-too-large", "A value is larger than the log accepts"),
    domain.DefinitionError: ProblemKind(409, "definition-error", "A definition of the app cannot do this"),
    edge.RequestKeyReused: ProblemKind(
        422, "idempotency-key-reused", "The idempotency key belongs to another request", "use a new key"
    ),
    edge.SagaNotFound: ProblemKind(404, "saga-not-found", "There is no such saga", "GET /sagas lists those there are"),
    edge.ScheduleNotFound: ProblemKind(
        404, "schedule-not-found", "There is no such schedule", "GET /schedules lists those there are"
    ),
    edge.UnknownDefinition: ProblemKind(
        404, "unknown-definition", "There is no such definition", "GET /definitions lists those there are"
    ),
    edge.VersionConflict: ProblemKind(
        412, "version-conflict", "The saga has changed", "read the saga again, and send its new ETag as If-Match"
    ),
    Refused: ProblemKind(409, "refused", "A participant refuses"),
    edge.WrongState: ProblemKind(409, "wrong-state", "The state does not allow this"),
    edge.SagaConflict: ProblemKind(409, "saga-conflict", "The id or key belongs to something else"),
    edge.DefinitionChanged: ProblemKind(409, "definition-changed", "The definition is not the one on record"),
    edge.ProjectionChanged: ProblemKind(409, "projection-changed", "The view has another table than is declared"),
    edge.PositionConflict: ProblemKind(409, "position-conflict", "Another writer was first", "repeat the request"),
    edge.WorkerRunning: ProblemKind(409, "worker-running", "Another worker works this file"),
    edge.SupersededWorker: ProblemKind(409, "superseded-worker", "Another worker has the lease"),
    edge.TooContended: ProblemKind(503, "too-contended", "Others keep writing to the same streams", "repeat it"),
    edge.AppPartMissing: ProblemKind(
        501, "app-part-missing", "The server's app lacks a part that this needs", "serve with the app that has it"
    ),
    edge.NotSupported: ProblemKind(501, "not-supported", "The ledger's database cannot do this"),
    edge.Unavailable: ProblemKind(503, "unavailable", "The database cannot be used now", "repeat the request later"),
    edge.NotALedger: ProblemKind(503, "wrong-database", "The database is no ledger of this version"),
    edge.OutcomeUnknown: ProblemKind(
        503,
        "outcome-unknown",
        "Whether it was written is not known",
        "repeat the request with the same Idempotency-Key: it is then written once",
    ),
    edge.TimedOut: TIMED_OUT,
    edge.DamagedLedger: ProblemKind(500, "damaged-ledger", "What is stored is not what was written"),
    domain.CorruptEvent: ProblemKind(500, "corrupt-event", "An event cannot be read"),
    domain.UnknownEvent: ProblemKind(500, "unknown-event", "The server's app does not know a type of events"),
    UnreadableEvent: ProblemKind(500, "unreadable-event", "An event cannot be read"),
}
"""The problem of each error: that of its class, or else of the nearest base class in the table."""


def problem_kind(error: domain.SagaledgerError) -> str:
    """Return the type of the problem that an error is."""
    return PROBLEM_TYPES + _kind_of(error).name


class ProblemReply(NamedTuple):
    """A problem, ready to be sent."""

    status: int
    body: bytes
    headers: dict[str, str]


def problem_of(error: BaseException) -> ProblemReply:
    """Return the problem document of an error. The reason of an unexpected one is logged, and not sent."""
    kind = _kind_of(error)
    if kind is INTERNAL:
        _log.error("a request met an unexpected error", exc_info=error)
        return _reply(INTERNAL, f"unexpected {type(error).__name__}", error)
    return _reply(kind, shown(error), error)


def _kind_of(error: BaseException) -> ProblemKind:
    if isinstance(error, RequestRefused):
        return error.kind
    return next((KINDS[each] for each in type(error).__mro__ if each in KINDS), INTERNAL)


def _reply(kind: ProblemKind, detail: str, error: BaseException) -> ProblemReply:
    known: dict[str, Any] = {
        name: value
        for name, type_ in (("saga_id", str), ("position", int))
        if isinstance(value := getattr(error, name, None), type_)
    }
    remedy = UNSET if kind.remedy is None else kind.remedy
    problem = ProblemDocument(PROBLEM_TYPES + kind.name, kind.title, kind.status, detail, remedy, **known)
    headers = {"content-type": CONTENT_TYPE, "cache-control": "no-store", **getattr(error, "headers", {})}
    if kind.status == BUSY.status:
        headers["retry-after"] = str(RETRY_AFTER_SECONDS)
    if kind.status == KINDS[Unauthenticated].status:
        headers.setdefault("www-authenticate", "Bearer")
    return ProblemReply(kind.status, _encode(problem), headers)


def _encode(problem: ProblemDocument) -> bytes:
    try:
        return msgspec.json.encode(problem)
    except UnicodeEncodeError:  # a lone surrogate in what the client sent
        return msgspec.json.encode(
            msgspec.structs.replace(problem, detail=problem.detail.encode("utf-8", "backslashreplace").decode())
        )
