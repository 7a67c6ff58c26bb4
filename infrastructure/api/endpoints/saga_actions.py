"""Writing: starting sagas, and deciding about them. The actor on record is the principal who asks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias
from uuid import uuid5

from msgspec import Meta, Struct

from ....domain.errors import InvalidInput, SagaledgerError
from ...choreography.replay import replay
from ...errors import AppPartMissing
from ...ledger import operations
from ...ledger.batch_start import STARTS_MAX, StartOutcome, start_many
from ...ledger.saga_start import SagaStart, Started, definition_of, start
from ..answers import BatchAnswer, BatchItem, RecordedAnswer, StartedAnswer
from ..endpoint import INTEGER_MAX, ApiAnswer, ApiRequest, Endpoint, StatedReason
from ..identity import Role
from ..limits import BATCH_BYTES_MAX
from ..listings import ReplayAnswer
from ..problems import NOT_FOUND, RequestRefused, problem_kind

GivenKey: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=500)]


class StartBody(Struct, forbid_unknown_fields=True):
    """A saga to be started."""

    definition: Name
    input: Any = None
    """What its definition says; GET /definitions has the JSON schema."""
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    """The newest one unless it is given."""
    key: GivenKey | None = None
    """The saga's id is `<definition>-<key>`. Without it, the key is that of the input, or made from the request."""
    begins_at: datetime | None = None
    """Not before this time."""


class BatchBody(Struct, forbid_unknown_fields=True):
    """Sagas to be started, each for itself."""

    starts: Annotated[list[StartBody], Meta(min_length=1, max_length=STARTS_MAX)]


class CancelBody(Struct, forbid_unknown_fields=True):
    """Why a saga is cancelled."""

    reason: StatedReason


class InterventionBody(Struct, forbid_unknown_fields=True):
    """How a saga that needs a person goes on."""

    action: Literal["retry", "skip", "resolve", "abandon"]
    reason: StatedReason
    step: Name | None = None
    """Needed only if more than one step needs a person."""
    result: Any = None
    """With `resolve`: the saga goes on as if the step had returned this."""


class SignalBody(Struct, forbid_unknown_fields=True):
    """A signal to a saga."""

    name: Name
    payload: Any = None
    refused: bool = False
    reason: StatedReason | None = None
    key: GivenKey | None = None
    """The same signal with the same key is recorded once."""


class ApprovalBody(Struct, forbid_unknown_fields=True):
    """An approval of what a step waits for."""

    reason: StatedReason
    payload: Any = None
    """The step's result."""


class RefusalBody(Struct, forbid_unknown_fields=True):
    """A refusal of what a step waits for."""

    reason: StatedReason


class ReplayBody(Struct, forbid_unknown_fields=True):
    """Why a service should try an event again."""

    reason: StatedReason


def start_one(request: ApiRequest) -> ApiAnswer:
    """Start one saga."""
    found = start(request.context, _saga_start(request, request.body, None))
    answer = StartedAnswer(found.saga_id, found.position, found.created)
    return ApiAnswer(answer, status=201 if found.created else 200, location=("sagas", found.saga_id))


def start_batch(request: ApiRequest) -> ApiAnswer:
    """Start many sagas; one that fails keeps no other from starting."""
    outcomes: dict[int, StartOutcome] = {}
    starts: dict[int, SagaStart] = {}
    for number, body in enumerate(request.body.starts):
        try:
            starts[number] = _saga_start(request, body, number)
        except SagaledgerError as error:
            outcomes[number] = error
    outcomes |= zip(starts, start_many(request.context, list(starts.values())), strict=True)
    items = [_item(outcomes[number]) for number in range(len(outcomes))]
    failed = sum(item.problem is not None for item in items)
    return ApiAnswer(BatchAnswer(items, started=len(items) - failed, failed=failed))


def cancel(request: ApiRequest) -> ApiAnswer:
    """Ask a saga to turn back."""
    reason = stated(request.body.reason)
    position = operations.cancel(request.context, request.path["saga_id"], actor=request.principal.name, reason=reason)
    return _recorded(request, position)


def intervene(request: ApiRequest) -> ApiAnswer:
    """Decide how a saga that needs a person goes on."""
    body: InterventionBody = request.body
    if body.result is not None and body.action != "resolve":
        raise InvalidInput(f"result belongs to the action resolve: leave it out with {body.action}")
    position = operations.intervene(
        request.context,
        request.path["saga_id"],
        body.action,
        actor=request.principal.name,
        reason=stated(body.reason),
        step=body.step,
        result=body.result,
    )
    return _recorded(request, position)


def signal(request: ApiRequest) -> ApiAnswer:
    """Send a signal to a saga."""
    body: SignalBody = request.body
    position = operations.signal(
        request.context,
        request.path["saga_id"],
        body.name,
        body.payload,
        actor=request.principal.name,
        reason=body.reason,
        refused=body.refused,
        key=body.key,
    )
    return _recorded(request, position)


def approve(request: ApiRequest) -> ApiAnswer:
    """Approve what a step waits for."""
    return _decide(request, request.body.payload, refused=False)


def refuse(request: ApiRequest) -> ApiAnswer:
    """Refuse what a step waits for."""
    return _decide(request, None, refused=True)


def replay_dead_letter(request: ApiRequest) -> ApiAnswer:
    """Let a service try an event again."""
    service, text = request.path["service"], request.path["position"]
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= INTEGER_MAX):
        raise RequestRefused(NOT_FOUND, f"{text[:100]!r} is no position of the log: it begins with 1")
    if not request.context.app.services:
        raise AppPartMissing(f"replaying event {text}", f"service {service!r}")
    position = replay(
        request.context, service, int(text), actor=request.principal.name, reason=stated(request.body.reason)
    )
    return ApiAnswer(ReplayAnswer(service=service, replayed_position=int(text), position=position))


def stated(reason: str) -> str:
    """Return a reason that says something. Raises `InvalidInput` for one of white space alone."""
    if not reason.strip():
        raise InvalidInput("the reason is empty: say why, it stays on record")
    return reason


def _decide(request: ApiRequest, payload: Any, *, refused: bool) -> ApiAnswer:
    position = operations.approve(
        request.context,
        request.path["saga_id"],
        request.path["step"],
        payload,
        actor=request.principal.name,
        reason=stated(request.body.reason),
        refused=refused,
    )
    return _recorded(request, position)


def _recorded(request: ApiRequest, position: int) -> ApiAnswer:
    return ApiAnswer(RecordedAnswer(request.path["saga_id"], position))


def _saga_start(request: ApiRequest, body: StartBody, number: int | None) -> SagaStart:
    """Return a start. A saga without a key of its own has one that is always the same for the same request."""
    definition = definition_of(request.context, body.definition, body.version)
    key = body.key
    if key is None and definition.key is None and request.context.request is not None:
        append_id = request.context.request.append_id
        key = append_id.hex if number is None else uuid5(append_id, str(number)).hex
    return SagaStart.of(
        definition,
        body.input,
        key,
        begins_at=body.begins_at,
        actor=request.principal.name,
        traceparent=request.traceparent,
    )


def _item(outcome: StartOutcome) -> BatchItem:
    if isinstance(outcome, Started):
        return BatchItem(outcome.saga_id, outcome.position, outcome.created)
    return BatchItem(problem=problem_kind(outcome), detail=str(outcome))


def _write(path: str, summary: str, handle: Any, body: Any, answer: Any, **more: Any) -> Endpoint:
    settings: dict[str, Any] = {"status": 202, "problems": (404, 409), **more}
    return Endpoint(
        method="POST",
        path=path,
        role=Role.OPERATOR,
        summary=summary,
        handle=handle,
        body=body,
        answer=answer,
        writes=True,
        **settings,
    )


def _decision(path: str, summary: str, handle: Any, body: Any) -> Endpoint:
    return _write(f"/sagas/{{saga_id}}{path}", summary, handle, body, RecordedAnswer, versioned=True)


ENDPOINTS: Final = (
    _write("/sagas", "Start a saga", start_one, StartBody, StartedAnswer, status=201, also=(200,)),
    _write(
        "/sagas/batch",
        "Start many sagas",
        start_batch,
        BatchBody,
        BatchAnswer,
        status=200,
        body_bytes_max=BATCH_BYTES_MAX,
    ),
    _decision("/cancel", "Ask the saga to turn back and undo what it did", cancel, CancelBody),
    _decision("/interventions", "Decide how a saga that needs a person goes on", intervene, InterventionBody),
    _decision("/signals", "Send a signal", signal, SignalBody),
    _decision("/steps/{step}/approve", "Approve what a step waits for", approve, ApprovalBody),
    _decision("/steps/{step}/refuse", "Refuse what a step waits for", refuse, RefusalBody),
    _write(
        "/deadletters/{service}/{position}/replay",
        "Let a service try an event again",
        replay_dead_letter,
        ReplayBody,
        ReplayAnswer,
    ),
)
